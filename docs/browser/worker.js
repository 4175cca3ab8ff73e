// Runs the models beside the page, so that the page never stalls.

import { loadRecognizer } from "./recognizer.js";

const recognizer = loadRecognizer("./");
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true });

self.onmessage = async ({ data: { id, bitmap, maxSide } }) => {
  try {
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    context.fillStyle = "white"; // below transparent pixels
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const image = context.getImageData(0, 0, canvas.width, canvas.height);
    self.postMessage({ id, faces: await (await recognizer).predict(image, maxSide) });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  }
};

recognizer.then(
  () => {
    const files = performance.getEntriesByType("resource").map((entry) => entry.name);
    self.postMessage({ ready: true, files: [self.location.href, ...files] });
  },
  (error) => self.postMessage({ failed: String(error) }),
);

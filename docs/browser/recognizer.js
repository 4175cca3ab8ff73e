// Find faces in a picture and classify their expressions, in the browser.
//
//   const recognizer = await loadRecognizer("browser/");
//   const faces = await recognizer.predict(imageData);

import { detectFaces } from "./detector.js";
import { resized } from "./pixels.js";

/**
 * Load the models.
 *
 * @param folder address of the folder with config.json, tiny.onnx, yunet.onnx and runtime/.
 * @returns { labels, predict }
 */
export async function loadRecognizer(folder) {
  const address = (name) => new URL(name, new URL(folder, self.location)).href;
  const ort = await import(address("runtime/ort.wasm.min.mjs"));
  ort.env.wasm.wasmPaths = address("runtime/");
  ort.env.wasm.numThreads = 1; // threads need HTTP headers that few hosts send
  const config = await (await fetch(address("config.json"))).json();
  const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
  const detector = await ort.InferenceSession.create(address("yunet.onnx"), options);
  const network = await ort.InferenceSession.create(address("tiny.onnx"), options);

  /**
   * Return the faces of an ImageData, the most confident detection first.
   *
   * @param image an ImageData.
   * @param maxSide larger images are shrunk to this side to find faces, pixels.
   * @returns [{ box: [x, y, width, height], label, score, probabilities: { label: 0..1 } }]
   */
  async function predict(image, maxSide = config.detector.max_side) {
    const settings = { ...config.detector, max_side: maxSide };
    const found = await detectFaces(ort, detector, image, settings);
    if (!found.length) return [];
    const [height, width] = config.face_size;
    const crops = new Float32Array(found.length * height * width);
    found.forEach(({ box }, i) => crops.set(cropped(image, box, config), i * height * width));
    const tensor = new ort.Tensor("float32", crops, [found.length, height, width]);
    const { probabilities } = await network.run({ faces: tensor });
    return found.map(({ box, landmarks }, i) => {
      const count = config.labels.length;
      const row = probabilities.data.slice(i * count, (i + 1) * count);
      return { box: clipped(box, image), landmarks, ...named(row, config) };
    });
  }

  return { labels: config.labels, predict };
}

/** Return a face as grey pixels, 0..255, framed like the training faces. */
function cropped(image, [x, y, width, height], { framing, face_size }) {
  const boxSide = Math.sqrt(width * height);
  const largest = 2 * Math.max(image.width, image.height);
  const side = Math.min(Math.max(1, Math.round(framing.scale * boxSide)), largest);
  const left = Math.round(x + width / 2 + framing.shift_x * boxSide - side / 2);
  const top = Math.round(y + height / 2 + framing.shift_y * boxSide - side / 2);
  const inside = (place, size) => Math.min(Math.max(place, 0), size - 1);
  const grey = new Float32Array(side * side);
  for (let row = 0; row < side; row++) {
    // Outside the image, the pixels of its edge are repeated.
    const start = inside(top + row, image.height) * image.width;
    for (let column = 0; column < side; column++) {
      const pixel = 4 * (start + inside(left + column, image.width));
      const [red, green, blue] = image.data.subarray(pixel, pixel + 3);
      grey[row * side + column] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    }
  }
  return resized(grey, [side, side], [face_size[1], face_size[0]]).map(Math.round);
}

/** Return the calibrated probabilities by label, and the best of them. */
function named(row, { labels, temperature }) {
  const powers = Array.from(row, (value) => Math.max(value, 0) ** (1 / temperature));
  const sum = powers.reduce((one, other) => one + other);
  const probabilities = Object.fromEntries(labels.map((label, i) => [label, powers[i] / sum]));
  return { probabilities, ...best(probabilities) };
}

/** Return the most probable label and its probability. */
export function best(probabilities) {
  const [label, score] = Object.entries(probabilities).reduce((one, other) =>
    other[1] > one[1] ? other : one,
  );
  return { label, score };
}

/** Return the part of a box inside the image, in whole pixels. */
function clipped([x, y, width, height], image) {
  const left = Math.min(Math.max(Math.round(x), 0), image.width - 1);
  const top = Math.min(Math.max(Math.round(y), 0), image.height - 1);
  const right = Math.min(Math.max(Math.round(x + width), left + 1), image.width);
  const bottom = Math.min(Math.max(Math.round(y + height), top + 1), image.height);
  return [left, top, right - left, bottom - top];
}

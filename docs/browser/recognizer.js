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
    found.forEach((face, i) => crops.set(cropped(image, face, config), i * height * width));
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

/** Return a face as grey pixels, 0..255, upright and framed like the training faces. */
function cropped(image, { box: [x, y, width, height], landmarks }, config) {
  const { framing, face_size } = config;
  const roll = config.alignment === "eyes" ? rollOf(landmarks) : 0;
  // Slightly tilted heads are cropped as they are.
  const turn = Math.abs(roll) < (config.min_roll * Math.PI) / 180 ? 0 : roll;
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const boxSide = Math.sqrt(width * height);
  const largest = 2 * Math.max(image.width, image.height);
  const side = Math.min(Math.max(1, Math.round(framing.scale * boxSide)), largest);
  // The offset from the box turns with the head.
  const right = (framing.shift_x * cos - framing.shift_y * sin) * boxSide;
  const down = (framing.shift_x * sin + framing.shift_y * cos) * boxSide;
  const half = (side - 1) / 2;
  const centreX = Math.round(x + width / 2 + right - side / 2) + half;
  const centreY = Math.round(y + height / 2 + down - side / 2) + half;
  const grey = new Float32Array(side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const [u, v] = [column - half, row - half];
      grey[row * side + column] = Math.round(
        greyAt(image, centreX + cos * u - sin * v, centreY + sin * u + cos * v),
      );
    }
  }
  return resized(grey, [side, side], [face_size[1], face_size[0]]).map(Math.round);
}

/** Return how far a head is tilted to a shoulder, radians; positive is clockwise. */
function rollOf([[rightX, rightY], [leftX, leftY], , [cornerX, cornerY], [otherX, otherY]]) {
  const downX = (cornerX + otherX - rightX - leftX) / 2;
  const downY = (cornerY + otherY - rightY - leftY) / 2;
  return Math.atan2(leftY - rightY - downX, leftX - rightX + downY);
}

/** Return the grey value between four pixels; outside the image, its edge is repeated. */
function greyAt({ data, width, height }, x, y) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  let sum = 0;
  for (let down = 0; down < 2; down++) {
    for (let right = 0; right < 2; right++) {
      const weight = Math.abs(1 - right - (x - left)) * Math.abs(1 - down - (y - top));
      if (!weight) continue;
      const column = Math.min(Math.max(left + right, 0), width - 1);
      const pixel = 4 * (Math.min(Math.max(top + down, 0), height - 1) * width + column);
      const grey = 0.299 * data[pixel] + 0.587 * data[pixel + 1] + 0.114 * data[pixel + 2];
      sum += weight * grey;
    }
  }
  return sum;
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

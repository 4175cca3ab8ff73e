// YuNet (Wu et al. 2023) finds faces. This file does what OpenCV's FaceDetectorYN does around the
// network: padding, decoding of the three output grids, and non-maximum suppression.

import { planesOf, resized } from "./pixels.js";

const STRIDES = [8, 16, 32];
/** YuNet misses most faces that are larger, pixels. */
const LARGEST_FACE = 480;
/** Larger images are searched once more at this size, for faces that fill a third of them. */
const COARSE_SIDE = 240;

/**
 * Find faces in an ImageData.
 *
 * @param ort the module onnxruntime-web.
 * @param session YuNet's session.
 * @param settings { score_threshold, nms_threshold, max_side }
 * @returns [{ box: [x, y, width, height], score, landmarks: [[x, y], ...] }], best first.
 */
export async function detectFaces(ort, session, image, settings) {
  const largest = Math.max(image.width, image.height);
  const faces = await find(ort, session, image, settings);
  if (Math.min(largest, settings.max_side) > LARGEST_FACE) {
    const coarse = await find(ort, session, image, { ...settings, max_side: COARSE_SIDE });
    faces.push(...coarse.filter(({ box }) => Math.max(box[2], box[3]) > largest / 3));
  }
  return suppressed(faces, settings.nms_threshold);
}

/** Return the faces in an image that is shrunk to settings.max_side. */
async function find(ort, session, image, settings) {
  const factor = Math.max(1, Math.max(image.width, image.height) / settings.max_side);
  const width = Math.max(1, Math.round(image.width / factor));
  const height = Math.max(1, Math.round(image.height / factor));
  const padded = [width, height].map((side) => 32 * Math.ceil(side / 32));
  const planes = planesOf(image).map((plane) =>
    resized(plane, [image.width, image.height], [width, height]),
  );
  const input = new Float32Array(3 * padded[0] * padded[1]);
  // YuNet takes blue, green, red.
  planes.reverse().forEach((plane, channel) => {
    for (let y = 0; y < height; y++) {
      const row = plane.subarray(y * width, (y + 1) * width);
      input.set(row, (channel * padded[1] + y) * padded[0]);
    }
  });
  const tensor = new ort.Tensor("float32", input, [1, 3, padded[1], padded[0]]);
  const outputs = await session.run({ input: tensor });
  return STRIDES.flatMap((stride) =>
    decoded(outputs, stride, padded[0] / stride, settings.score_threshold),
  ).map(({ box, score, landmarks }) => ({
    box: box.map((value) => value * factor),
    score,
    landmarks: landmarks.map((point) => point.map((value) => value * factor)),
  }));
}

/** Return the faces of one output grid, whose cells are `stride` pixels wide. */
function decoded(outputs, stride, columns, threshold) {
  const [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map(
    (name) => outputs[`${name}_${stride}`].data,
  );
  const faces = [];
  for (let i = 0; i < cls.length; i++) {
    const score = Math.sqrt(clamped(cls[i]) * clamped(obj[i]));
    if (score < threshold) continue;
    const [column, row] = [i % columns, Math.floor(i / columns)];
    const width = Math.exp(bbox[4 * i + 2]) * stride;
    const height = Math.exp(bbox[4 * i + 3]) * stride;
    const x = (column + bbox[4 * i]) * stride - width / 2;
    const y = (row + bbox[4 * i + 1]) * stride - height / 2;
    const landmarks = [0, 1, 2, 3, 4].map((point) => [
      (column + kps[10 * i + 2 * point]) * stride,
      (row + kps[10 * i + 2 * point + 1]) * stride,
    ]);
    faces.push({ box: [x, y, width, height], score, landmarks });
  }
  return faces;
}

const clamped = (value) => Math.min(Math.max(value, 0), 1);

/** Keep the best of faces that overlap: non-maximum suppression. */
function suppressed(faces, threshold) {
  const kept = [];
  for (const face of faces.sort((one, other) => other.score - one.score)) {
    if (kept.every((better) => overlap(face.box, better.box) <= threshold)) kept.push(face);
  }
  return kept;
}

/** Return the intersection of two boxes over their union, 0..1. */
export function overlap([x, y, width, height], [x2, y2, width2, height2]) {
  const across = Math.min(x + width, x2 + width2) - Math.max(x, x2);
  const down = Math.min(y + height, y2 + height2) - Math.max(y, y2);
  const shared = Math.max(across, 0) * Math.max(down, 0);
  return shared / (width * height + width2 * height2 - shared);
}

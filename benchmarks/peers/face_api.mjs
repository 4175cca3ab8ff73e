// Measure @vladmandic/face-api's expression network on WebAssembly, like harness.py.
// Arguments: the folder of node_modules, and the request as JSON.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const [folder, text] = process.argv.slice(2);
const request = JSON.parse(text);
const modules = path.join(folder, "node_modules");
const require = createRequire(path.join(modules, "from-here.js"));
const library = path.join(modules, "@vladmandic", "face-api");
const BATCH = 32;

const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(path.join(modules, "@tensorflow", "tfjs-backend-wasm", "dist") + path.sep);
const faceapi = require(path.join(library, "dist", "face-api.node-wasm.js"));
const tf = faceapi.tf;

const FACE = 48 * 48;
const faces = fs.readFileSync(request.faces);
const count = faces.length / FACE;

// Return faces start to start + size - 1 as RGB tensors; the library takes a list of images.
function batch(pixels, start, size) {
  const grey = Int32Array.from(pixels.subarray(start * FACE, (start + size) * FACE));
  return tf.tidy(() =>
    tf.unstack(tf.tile(tf.tensor4d(grey, [size, 48, 48, 1], "int32"), [1, 1, 1, 3])),
  );
}

async function predict(pixels, size) {
  const answers = [];
  for (let start = 0; start < size; start += BATCH) {
    const part = batch(pixels, start, Math.min(BATCH, size - start));
    answers.push(...(await faceapi.nets.faceExpressionNet.predictExpressions(part)));
    tf.dispose(part);
  }
  return answers;
}

async function milliseconds(call) {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

async function measure(call) {
  await call();
  const end = performance.now() + 1000 * request.seconds;
  const times = [await milliseconds(call)];
  while (times.length < request.runs && performance.now() < end) {
    times.push(await milliseconds(call));
  }
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.round(share * (times.length - 1))];
  return { p50: at(0.5), p95: at(0.95), runs: times.length };
}

console.log = () => {}; // hide the libraries' messages
await tf.setBackend("wasm");
await tf.ready();
await faceapi.nets.faceExpressionNet.loadFromDisk(path.join(library, "model"));
const answers = await predict(faces, 1);
if (answers.length !== 1) throw new Error(`expected 1 answer for 1 face, got ${answers.length}`);
const cold = Date.now() - 1000 * request.started;
const single = await measure(() => predict(faces, 1));
const all = await measure(() => predict(faces, count));
const row = {
  version: JSON.parse(fs.readFileSync(path.join(library, "package.json"))).version,
  faces: count,
  faces_per_s: (1000 * count) / all.p50,
  single_ms: single.p50,
  single_ms_p95: single.p95,
  cold_ms: cold,
  peak_rss_mib: process.resourceUsage().maxRSS / 1024,
  runs: all.runs,
  cut: Math.min(all.runs, single.runs) < request.runs,
};
if (request.labelled) {
  const pixels = fs.readFileSync(request.labelled);
  const all = await predict(pixels, pixels.length / FACE);
  row.said = all.map((answer) => answer.asSortedArray()[0].expression);
}
process.stdout.write(JSON.stringify(row) + "\n");

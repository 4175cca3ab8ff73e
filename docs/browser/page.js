// The page: takes a photo or the camera, and shows boxes, labels and bars.

import { createTracker } from "./tracker.js";

/** Sides to which images are shrunk to find faces, pixels: camera frames must be fast. */
const CAMERA_SIDE = 320;
/** Largest photo that is shown, pixels. */
const PHOTO_SIDE = 1600;

const part = (name) => document.getElementById(`emonet-${name}`);
const canvas = part("canvas");
const pen = canvas.getContext("2d");
const buttons = [part("photo"), part("sample"), part("camera")];

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const answers = new Map();
let nextId = 0;
let stopCamera = null;

worker.onmessage = ({ data }) => {
  if (data.ready) return onReady(data.files);
  if (data.failed) return onFailed(data.failed);
  answers.get(data.id)?.(data);
  answers.delete(data.id);
};
worker.onerror = (event) => onFailed(event.message || "a file is missing");

/** Return the faces of an ImageBitmap, which is used up. */
async function predict(bitmap, maxSide) {
  const id = nextId++;
  const answer = new Promise((resolve) => answers.set(id, resolve));
  worker.postMessage({ id, bitmap, maxSide }, [bitmap]);
  const { faces, error } = await answer;
  if (error) throw new Error(error);
  return faces;
}

async function onReady(files) {
  for (const button of buttons) button.disabled = false;
  say("Ready. Choose a photo, drop it here, or start the camera.");
  document.documentElement.dataset.emonet = "ready";
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(new URL("offline.js", import.meta.url));
    const own = performance.getEntriesByType("resource").map((entry) => entry.name);
    const here = [location.href.split("#")[0], new URL("sample.jpg", import.meta.url).href];
    const all = new Set([...here, ...own, ...files]);
    const ours = [...all].filter((address) => address.startsWith(location.origin));
    await (await caches.open("emonet-browser")).addAll(ours);
    part("offline").textContent = "This page now works offline.";
  } catch {
    part("offline").textContent = "This browser does not store the page for offline use.";
  }
}

function onFailed(reason) {
  say(
    `The models can't be loaded: ${reason}. If you built this site yourself, run ` +
      '"npm ci --ignore-scripts" and build it again.',
  );
}

/** Show a message; screen readers read it. */
function say(text) {
  if (part("status").textContent !== text) part("status").textContent = text;
}

/** Show a photo with its faces. */
async function showPhoto(blob) {
  stopCamera?.();
  say("Looking for faces.");
  try {
    const bitmap = await createImageBitmap(blob);
    const factor = Math.min(1, PHOTO_SIDE / Math.max(bitmap.width, bitmap.height));
    const size = {
      resizeWidth: Math.max(1, Math.round(bitmap.width * factor)),
      resizeHeight: Math.max(1, Math.round(bitmap.height * factor)),
      resizeQuality: "high",
    };
    const photo = factor < 1 ? await createImageBitmap(bitmap, size) : bitmap;
    const faces = await predict(await createImageBitmap(photo));
    draw(photo, faces);
    list(faces);
    say(summary(faces));
  } catch (error) {
    say(`This file can't be shown: ${error.message}`);
  }
}

/** Show the camera's frames with their faces until the camera is stopped. */
async function startCamera() {
  let stream;
  try {
    const video = { width: 640, height: 480, facingMode: "user" };
    stream = await navigator.mediaDevices.getUserMedia({ video });
  } catch (error) {
    return say(`The camera can't be used: ${error.message}`);
  }
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  video.srcObject = stream;
  await video.play();
  let running = true;
  stopCamera = () => {
    running = false;
    stopCamera = null;
    for (const track of stream.getTracks()) track.stop();
    part("camera").textContent = "Start the camera";
  };
  part("camera").textContent = "Stop the camera";
  say("The camera is on.");
  const track = createTracker();
  const times = [];
  while (running) {
    const frame = await createImageBitmap(video);
    const seconds = performance.now() / 1000;
    let faces;
    try {
      faces = track(await predict(await createImageBitmap(frame), CAMERA_SIDE), seconds);
    } catch (error) {
      stopCamera?.();
      return say(`A frame can't be used: ${error.message}`);
    }
    if (!running) return;
    draw(frame, faces);
    frame.close();
    list(faces);
    say(summary(faces, false));
    times.push(performance.now());
    while (times.length > 30) times.shift();
    const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
    if (times.length > 5) part("rate").textContent = `${rate.toFixed(0)} frames per second`;
    // Frames of a hidden page are not drawn, so none are taken.
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
}

/** Draw a picture, and a box and a label for every face. */
function draw(picture, faces) {
  [canvas.width, canvas.height] = [picture.width, picture.height];
  pen.drawImage(picture, 0, 0);
  const line = Math.max(16, Math.round(Math.max(picture.width, picture.height) / 32));
  pen.lineWidth = Math.max(2, line / 8);
  pen.font = `${line}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  for (const { box: [x, y, width, height], ...face } of faces) {
    const text = ` ${caption(face)} `;
    const top = y >= 1.3 * line ? y - 1.3 * line : y + height;
    pen.strokeStyle = pen.fillStyle = "rgb(255, 215, 0)";
    pen.strokeRect(x, y, width, height);
    pen.fillRect(x - pen.lineWidth / 2, top, pen.measureText(text).width, 1.3 * line);
    pen.fillStyle = "black";
    pen.fillText(text, x, top + 0.15 * line);
  }
  canvas.hidden = false;
  canvas.setAttribute("aria-label", `The picture. ${summary(faces)}`);
}

const percent = (value) => `${Math.round(100 * value)} %`;
const caption = ({ track, label, score }) =>
  `${track ? `${track} ` : ""}${label} ${percent(score)}`;

/** Say what was found in one sentence. */
function summary(faces, scores = true) {
  if (!faces.length) return "No face found.";
  const named = faces.map(({ label, score }) => (scores ? `${label}, ${percent(score)}` : label));
  return `${faces.length === 1 ? "One face" : `${faces.length} faces`}: ${named.join("; ")}.`;
}

/** Show a chart of each face's probabilities. */
function list(faces) {
  const charts = faces.map((face, index) => {
    const chart = document.createElement("section");
    const heading = document.createElement("h3");
    heading.textContent = `Face ${face.track ?? index + 1}: ${face.label}`;
    chart.append(heading);
    for (const [label, value] of Object.entries(face.probabilities)) {
      const row = document.createElement("label");
      const name = document.createElement("span");
      const meter = document.createElement("meter");
      const number = document.createElement("span");
      name.textContent = label;
      meter.value = value;
      number.textContent = percent(value);
      row.append(name, meter, number);
      chart.append(row);
    }
    return chart;
  });
  part("faces").replaceChildren(...charts);
  // For tests and for curious people: the plain result.
  part("faces").result = faces;
}

part("photo").addEventListener("click", () => part("file").click());
part("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) showPhoto(target.files[0]);
  target.value = "";
});
part("sample").addEventListener("click", async () => {
  const response = await fetch(new URL("sample.jpg", import.meta.url));
  showPhoto(await response.blob());
});
part("camera").addEventListener("click", () => (stopCamera ? stopCamera() : startCamera()));
for (const kind of ["dragover", "drop"]) {
  part("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop" && event.dataTransfer.files[0] && !buttons[0].disabled) {
      showPhoto(event.dataTransfer.files[0]);
    }
  });
}

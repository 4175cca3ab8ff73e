// Follow faces from frame to frame, and smooth their probabilities over time.

import { overlap } from "./detector.js";
import { best } from "./recognizer.js";

/** Seconds after which an older frame counts 1/e of a new one. */
const TIME_CONSTANT = 0.4;
/** Seconds that a track waits for its face. */
const PATIENCE = 0.7;
/** Smallest overlap of a face with its box in the last frame. */
const MIN_OVERLAP = 0.3;

/** Return a function from (faces, seconds) to the faces with tracks and smoothed probabilities. */
export function createTracker() {
  let tracks = [];
  let count = 0;
  let last = 0;

  return function track(faces, seconds) {
    // On a slow device, the last frame may be longer ago than PATIENCE.
    tracks = tracks.filter((one) => one.seconds === last || seconds - one.seconds < PATIENCE);
    last = seconds;
    const free = new Set(tracks);
    return faces.map((face) => {
      const near = [...free]
        .map((one) => ({ one, shared: overlap(one.box, face.box) }))
        .reduce((a, b) => (b.shared > a.shared ? b : a), { one: null, shared: MIN_OVERLAP });
      let known = near.one;
      if (known) {
        free.delete(known);
        const share = 1 - Math.exp(-(seconds - known.seconds) / TIME_CONSTANT);
        known.probabilities = mixed(known.probabilities, face.probabilities, share);
      } else {
        known = { number: ++count, probabilities: face.probabilities };
        tracks.push(known);
      }
      Object.assign(known, { box: face.box, seconds });
      const { probabilities, number } = known;
      return { ...face, track: number, probabilities, ...best(probabilities) };
    });
  };
}

/** Return (1 - share) of the old probabilities and the share of the new ones. */
function mixed(old, fresh, share) {
  return Object.fromEntries(
    Object.entries(fresh).map(([label, value]) => [label, old[label] + share * (value - old[label])]),
  );
}

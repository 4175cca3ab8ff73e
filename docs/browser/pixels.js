// Planes of pixels: Float32Arrays of width * height values, row by row.

/** Return the red, green and blue planes of an ImageData. */
export function planesOf(image) {
  const { data, width, height } = image;
  const planes = [0, 1, 2].map(() => new Float32Array(width * height));
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) planes[c][i] = data[4 * i + c];
  }
  return planes;
}

/** Resize a plane: by area if it shrinks, else linearly, as OpenCV's INTER_AREA and INTER_LINEAR. */
export function resized(plane, [width, height], [newWidth, newHeight]) {
  if (width === newWidth && height === newHeight) return plane;
  const shrinks = width >= newWidth && height >= newHeight;
  const weigh = shrinks ? areaWeights : linearWeights;
  const columns = table(weigh(width, newWidth));
  const rows = table(weigh(height, newHeight));
  const narrow = new Float32Array(newWidth * height);
  for (let y = 0; y < height; y++) {
    const start = y * width;
    for (let x = 0; x < newWidth; x++) {
      let sum = 0;
      for (let i = x * columns.taps; i < (x + 1) * columns.taps; i++) {
        sum += columns.weights[i] * plane[start + columns.sources[i]];
      }
      narrow[y * newWidth + x] = sum;
    }
  }
  const result = new Float32Array(newWidth * newHeight);
  for (let y = 0; y < newHeight; y++) {
    for (let i = y * rows.taps; i < (y + 1) * rows.taps; i++) {
      const start = rows.sources[i] * newWidth;
      for (let x = 0; x < newWidth; x++) {
        result[y * newWidth + x] += rows.weights[i] * narrow[start + x];
      }
    }
  }
  return result;
}

/** Return [[source, weight], ...] for each new pixel: how much of it each old pixel covers. */
function areaWeights(oldSize, newSize) {
  const scale = oldSize / newSize;
  return Array.from({ length: newSize }, (_, i) => {
    const [start, end] = [i * scale, Math.min((i + 1) * scale, oldSize)];
    const parts = [];
    for (let from = Math.floor(start); from < end - 1e-6; from++) {
      parts.push([from, (Math.min(from + 1, end) - Math.max(from, start)) / (end - start)]);
    }
    return parts;
  });
}

/** Return [[source, weight], ...] for each new pixel: the two nearest old pixels. */
function linearWeights(oldSize, newSize) {
  const inside = (place) => Math.min(Math.max(place, 0), oldSize - 1);
  return Array.from({ length: newSize }, (_, i) => {
    const place = ((i + 0.5) * oldSize) / newSize - 0.5;
    const first = Math.floor(place);
    return [
      [inside(first), 1 - (place - first)],
      [inside(first + 1), place - first],
    ];
  });
}

/** Return weights as typed arrays with equally many taps for each new pixel, which are fast. */
function table(weights) {
  const taps = Math.max(...weights.map((parts) => parts.length));
  const sources = new Int32Array(weights.length * taps);
  const values = new Float32Array(weights.length * taps);
  weights.forEach((parts, pixel) =>
    parts.forEach(([source, weight], tap) => {
      sources[pixel * taps + tap] = source;
      values[pixel * taps + tap] = weight;
    }),
  );
  return { taps, sources, weights: values };
}

"""Makes the pictures of the documentation: ``python docs/images/pictures.py``.

The photo is ``emonet.sample_photo()``: Eileen Collins, photographed by NASA, in the public domain.
BOVW's landmarks need ``emonet[bovw]``.
"""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

import emonet
from emonet.pipeline.crops import crop_faces

FOLDER = Path(__file__).parent
SCALE = 8
SIDE, STEP, WINDOW, CELL = 48, 6, 24, 8
STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #57606a }
    .cell { fill: #3f6fb5; stroke: #fff }
    .window { fill: none; stroke: #8c959f }
    .shown { fill: none; stroke: #ffd700; stroke-width: 3 }
    .inner { fill: none; stroke: #ffd700; stroke-width: 1 }
    .start { fill: #ffd700; stroke: #000; stroke-width: .5 }
    .point { fill: #5ee0ff; stroke: #000; stroke-width: .5 }
    @media (prefers-color-scheme: dark) { text { fill: #9aa4af } .cell { stroke: #1e2129 } }"""


def main():
    """Write result.webp, bars.webp, explanation.webp, bovw-face.svg and bovw-axis.svg."""
    photo = FOLDER / "sample.png"
    image = Image.open(emonet.sample_photo()).crop((0, 0, 400, 352)).resize((800, 704))
    image.save(photo)
    try:
        recognizer = emonet.EmotionRecognizer.from_pretrained()
        result = recognizer.predict(photo)
        result.draw().save(FOLDER / "result.webp", quality=85)
        explain(recognizer, photo).save(FOLDER / "explanation.webp", quality=85)
        result.draw(bars=True).save(FOLDER / "bars.webp", quality=85)
    finally:
        photo.unlink()
    framing = recognizer.config.framing_for(recognizer.config.detector.name)
    detections = [face.detection for face in result.faces]
    (crop,) = crop_faces(np.asarray(image), detections, framing, [(SIDE, SIDE)])[SIDE, SIDE]
    (FOLDER / "bovw-face.svg").write_text(draw_face(crop))
    (FOLDER / "bovw-axis.svg").write_text(draw_axis())


def explain(recognizer, photo):
    """Return what supports happiness, by class activation maps and by occlusion."""
    around = (210, 20, 570, 380)
    both = Image.new("RGB", (740, 360), "white")
    for left, method in ((0, "cam"), (380, "occlusion")):
        drawn = recognizer.explain(photo, method=method).draw()
        both.paste(drawn.crop(around), (left, 0))
    return both


def draw_face(crop):
    """The crop twice: with windows and cells, and with landmarks."""
    side = SIDE * SCALE
    parts = [picture(crop, 0), picture(crop, side + 20)]
    # The first window whole, one at the right edge that is clipped.
    for x, y in ((0, 0), (36, 24)):
        parts += window(x, y)
    starts = range(0, SIDE, STEP)
    parts += [dot("start", x * SCALE, y * SCALE) for y in starts for x in starts]
    landmarks = emonet.create_feature_extractor("bovw", hog=False).transform(crop[np.newaxis])
    for x, y in landmarks.reshape(-1, 2):
        # The middle of the pixel.
        parts.append(dot("point", side + 20 + (x + 0.5) * SCALE, (y + 0.5) * SCALE))
    return svg(2 * side + 20, side, "Windows, cells and landmarks on a face", parts)


def draw_axis():
    """The windows along one side of the face, with their whole cells."""
    left, scale, parts = 130, 10, []
    for row, start in enumerate(range(0, SIDE, STEP)):
        y, end = 10 + 26 * row, min(start + WINDOW, SIDE)
        count = (end - start) // CELL
        cells = f"{count} cell{'' if count == 1 else 's'}"
        parts.append(f'<text x="0" y="{y + 14}">{start} to {end}: {cells}</text>')
        parts.append(rectangle("window", left + start * scale, y, (end - start) * scale, 18))
        for cell in range(start, end - CELL + 1, CELL):
            parts.append(rectangle("cell", left + cell * scale, y + 3, CELL * scale, 12))
    return svg(left + SIDE * scale + 5, 222, "Windows and cells along one side of a face", parts)


def picture(crop, x):
    """A grey crop as an embedded PNG whose pixels stay sharp."""
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    side = SIDE * SCALE
    return (
        f'<image x="{x}" width="{side}" height="{side}" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{data}"/>'
    )


def window(x, y):
    """A window's outline, clipped at the face's edge, and its whole cells."""
    width, height = min(WINDOW, SIDE - x), min(WINDOW, SIDE - y)
    cells = [
        rectangle("inner", (x + i) * SCALE, (y + j) * SCALE, CELL * SCALE, CELL * SCALE)
        for j in range(0, height - CELL + 1, CELL)
        for i in range(0, width - CELL + 1, CELL)
    ]
    return [*cells, rectangle("shown", x * SCALE, y * SCALE, width * SCALE, height * SCALE)]


def rectangle(kind, x, y, width, height):
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>'


def dot(kind, x, y):
    return f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="3.5"/>'


def svg(width, height, title, parts):
    """A drawing with a margin, so that dots on its edge are whole."""
    box = f"-5 -5 {width + 10} {height + 10}"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{width}" '
        f'height="{height}" role="img" aria-label="{title}">',
        f"  <title>{title}</title>",
        f"  <style>{STYLE}\n  </style>",
    ]
    return "\n".join([*head, *(f"  {part}" for part in parts), "</svg>", ""])


if __name__ == "__main__":
    main()

"""Draw faces on an image: boxes, labels, and charts of probabilities."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emonet.drawing.fonts import font_for
from emonet.drawing.layout import Layout, Rectangle
from emonet.errors import InputError
from emonet.pipeline.images import load_image
from emonet.results import Box, Face, ImageResult, TrackedFace, VideoFrame

if TYPE_CHECKING:
    import PIL.Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

YELLOW = (255, 215, 0)
GREY = (205, 205, 205)
BLACK = (0, 0, 0)
WHITE = (255, 255, 255)
SHADE = (20, 20, 20, 200)
#: Height of a line of text: a part of the picture's longer side, and pixels.
SMALLEST, LARGEST = (1 / 100, 11), (1 / 40, 14)
#: Width of a face's box over the height of its label: most labels are as wide as the box.
BOX_PER_LINE = 8
#: Space around a text, height of a chart's row and length of its bars, in line heights.
PADDING, ROW, BAR = 0.2, 1.25, 4
#: Most classes in a chart; of more, the most probable ones are shown.
MOST_BARS = 10


def draw(
    image: Any,
    faces: ImageResult | VideoFrame | Iterable[Face],
    *,
    bars: bool = False,
) -> "PIL.Image.Image":
    """Return a copy of an image with a box and a label for every face.

    A label is the class and its score in per cent, or ``uncertain`` if the score is below the
    score threshold. The number of a face's track stands before its label.

    Args:
        image: the image in any form that ``predict`` takes.
        faces: the result of this image, or some of its faces.
        bars: also draw a bar chart of each face's probabilities beside the face.

    Returns:
        An RGB image of the same size.

    Raises:
        ImageError: the image can't be read.
        InputError: the result belongs to an image of another size.

    Examples:
        >>> recognizer = EmotionRecognizer.from_pretrained()
        >>> photo = emonet.sample_photo()
        >>> emonet.draw(photo, recognizer.predict(photo)).size
        (400, 400)
    """
    from PIL import Image, ImageDraw

    pixels = load_image(image)
    height, width = pixels.shape[:2]
    if isinstance(faces, ImageResult | VideoFrame):
        if faces.error is None and (faces.width, faces.height) != (width, height):
            raise InputError(
                f"The result belongs to an image of {faces.width}x{faces.height} pixels, got an "
                f"image of {width}x{height}: pass the image that was predicted"
            )
        faces = faces.faces
    faces = list(faces)
    drawn = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(drawn, "RGBA")
    layout = Layout(width, height, (face.box for face in faces))
    for face in faces:
        _draw_box(canvas, face, line=max(1, round(max(width, height) / 400)))
    # Labels are placed first, so that they stand closest to their faces, and drawn last.
    labels = [_place_label(layout, face, (width, height)) for face in faces]
    if bars:
        for face in faces:
            _draw_bars(canvas, layout, face, (width, height))
    for face, label in zip(faces, labels, strict=True):
        _draw_label(canvas, face, *label)
    return drawn


def _colour(face: Face) -> tuple[int, int, int]:
    return GREY if face.label is None else YELLOW


def _draw_box(canvas: "ImageDraw", face: Face, *, line: int) -> None:
    """Draw a coloured box between black lines, so that it shows on any ground."""
    # Both corners belong to Pillow's rectangle.
    left, top, right, bottom = _corners(face.box)
    thin = max(1, line // 2)
    for inset, width, colour in ((-thin, thin, BLACK), (line, thin, BLACK), (0, line, None)):
        corners = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
        # Pillow refuses exchanged corners; a face may be one pixel.
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            canvas.rectangle(corners, outline=colour or _colour(face), width=width)


def _line_height(face: Face, picture: tuple[int, int]) -> int:
    """Return the height of a line of text: it grows with the face, within bounds."""
    low, high = (max(part * max(picture), pixels) for part, pixels in (SMALLEST, LARGEST))
    return round(min(max(face.box.width / BOX_PER_LINE, low), high))


def _fit(
    texts: Sequence[str], size: int, width: float, *, bar: float = 0
) -> "tuple[int, list[FreeTypeFont]]":
    """Return the largest size, and fonts for texts in it, so that each text and a bar fit.

    Args:
        texts: one or more texts.
        size: height of a line of text if there is room, pixels.
        width: width of the room, pixels.
        bar: length of the bar beside the text, in line heights.
    """
    while True:
        fonts = [font_for(text, size) for text in texts]
        needed = max(map(_width, texts, fonts)) + (bar + 2 * PADDING) * size
        if needed <= width or size == 1:
            return size, fonts
        # Small letters are not exactly in proportion, so it may take several steps.
        size = max(1, min(size - 1, int(size * width / needed)))


def _width(text: str, font: "FreeTypeFont") -> int:
    return math.ceil(font.getlength(text))


def _place_label(
    layout: Layout, face: Face, picture: tuple[int, int]
) -> "tuple[str, FreeTypeFont, Rectangle]":
    """Return a face's label, its font and its place: above, below or inside the box."""
    track = f"#{face.track} " if isinstance(face, TrackedFace) else ""
    text = f"{track}{face.label or 'uncertain'} {100 * face.score:.0f} %"
    size, (font,) = _fit([text], _line_height(face, picture), picture[0])
    x, y, right, bottom = _corners(face.box)
    width, height = _width(text, font) + 2 * round(PADDING * size), sum(font.getmetrics())
    rows = (y - height, bottom, y, y - 2 * height, bottom + height)
    corners = [(column, row) for row in rows for column in (x, right - width)]
    return text, font, layout.place(width, height, corners)


def _draw_label(
    canvas: "ImageDraw", face: Face, text: str, font: "FreeTypeFont", place: Rectangle
) -> None:
    left, top, right, bottom = place
    canvas.rectangle((left, top, right - 1, bottom - 1), fill=_colour(face))
    _write(canvas, (left + round(PADDING * font.size), top), text, font, BLACK)


def _draw_bars(canvas: "ImageDraw", layout: Layout, face: Face, picture: tuple[int, int]) -> None:
    """Draw a chart of probabilities beside a face; each row is a class and its bar."""
    shown = sorted(face.probabilities.values(), reverse=True)[:MOST_BARS]
    rows = [(name, share) for name, share in face.probabilities.items() if share >= shown[-1]]
    rows = rows[:MOST_BARS]
    names = [name for name, _ in rows]
    largest = max(1, int(picture[1] / (len(rows) * ROW + 2 * PADDING)))
    size = min(_line_height(face, picture), largest)
    size, fonts = _fit(names, size, picture[0], bar=BAR + PADDING)
    padding, row, bar = round(PADDING * size), max(1, int(ROW * size)), round(BAR * size)
    column = max(map(_width, names, fonts))
    width, height = column + bar + 3 * padding, row * len(rows) + 2 * padding
    x, y, right, bottom = _corners(face.box)
    corners = [(column, row) for row in (y, bottom - height) for column in (right, x - width)]
    corners += [(column, row) for row in (bottom, y - height) for column in (x, right - width)]
    left, top, *_ = place = layout.place(width, height, corners)
    canvas.rectangle((left, top, place[2] - 1, place[3] - 1), fill=SHADE)
    start = left + column + 2 * padding
    for index, ((_, share), name, font) in enumerate(zip(rows, names, fonts, strict=True)):
        line = top + padding + index * row
        _write(canvas, (left + padding, line), name, font, WHITE)
        end = start + max(1, round(share * bar)) - 1
        edge = max(1, row // 5)
        canvas.rectangle(
            (start, line + edge, end, max(line + edge, line + row - 1 - edge)),
            fill=YELLOW if share == face.score else GREY,
        )


def _corners(box: Box) -> tuple[int, int, int, int]:
    x, y, width, height = (int(value) for value in box)
    return x, y, x + width, y + height


def _write(
    canvas: "ImageDraw",
    corner: tuple[int, int],
    text: str,
    font: "FreeTypeFont",
    colour: tuple[int, int, int],
) -> None:
    x, y = corner
    canvas.text((x, y + font.getmetrics()[0]), text, fill=colour, font=font, anchor="ls")

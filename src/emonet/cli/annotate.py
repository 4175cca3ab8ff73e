"""Draw the faces of a result on a copy of its image."""

from collections.abc import Iterable
from pathlib import Path

from emonet.pipeline.images import load_image
from emonet.results import Face
from emonet.support.files import atomic_write

COLOUR = (255, 215, 0)
#: PNG text field that marks annotated copies.
MADE_BY = ("Software", "emonet")


def annotate(path: Path, faces: Iterable[Face], target: Path) -> None:
    """Write a PNG file of an image file, with a box and a label for every face."""
    from PIL import Image, ImageDraw, ImageFont
    from PIL.PngImagePlugin import PngInfo

    image = Image.fromarray(load_image(path))
    draw = ImageDraw.Draw(image)
    unit = max(1, round(max(image.size) / 400))
    font = ImageFont.load_default(size=10 * unit)
    for face in faces:
        x, y, width, height = (int(value) for value in face.box)
        # Both corners belong to Pillow's rectangle.
        draw.rectangle((x, y, x + width - 1, y + height - 1), outline=COLOUR, width=unit)
        text = f"{face.label or 'uncertain'} {100 * face.score:.0f} %"
        place = (x, y - 12 * unit) if y >= 12 * unit else (x, y + height)
        draw.rectangle(draw.textbbox(place, text, font=font), fill=COLOUR)
        draw.text(place, text, fill=(0, 0, 0), font=font)
    info = PngInfo()
    info.add_text(*MADE_BY)
    with atomic_write(target) as file:
        image.save(file, format="PNG", pnginfo=info)


def is_annotated(file: Path) -> bool:
    """Return whether annotate wrote a file."""
    from PIL import Image

    keyword, maker = MADE_BY
    try:
        with Image.open(file) as image:
            return bool(image.info.get(keyword) == maker)
    except (OSError, ValueError, SyntaxError):
        return False

"""Draws the faces of a result into a copy of its image."""

from collections.abc import Iterable
from pathlib import Path

from emonet.files import beside
from emonet.pipeline.images import load_image
from emonet.results import Face

__all__ = ["annotate"]

COLOUR = (255, 215, 0)


def annotate(path: Path, faces: Iterable[Face], target: Path) -> None:
    """Write the image with a box and a label for every face.

    Args:
        path: of the image.
        faces: what to mark in it.
        target: the PNG file to write.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(load_image(path))
    draw = ImageDraw.Draw(image)
    unit = max(1, round(max(image.size) / 400))
    font = ImageFont.load_default(size=10 * unit)
    for face in faces:
        x, y, width, height = (int(value) for value in face.box)
        draw.rectangle((x, y, x + width, y + height), outline=COLOUR, width=unit)
        text = f"{face.label or 'uncertain'} {100 * face.score:.0f} %"
        place = (x, y - 12 * unit) if y >= 12 * unit else (x, y + height)
        draw.rectangle(draw.textbbox(place, text, font=font), fill=COLOUR)
        draw.text(place, text, fill=(0, 0, 0), font=font)
    with beside(target) as file:
        image.save(file, format="PNG")

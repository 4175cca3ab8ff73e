"""PNG files of annotated images."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from emonet.support.files import atomic_write

if TYPE_CHECKING:
    import PIL.Image

#: PNG text field that marks annotated copies.
MADE_BY = ("Software", "emonet")
#: Longest side of an image in a notebook, pixels: a notebook keeps its images.
NOTEBOOK_SIDE = 1024


def to_png(image: "PIL.Image.Image") -> bytes:
    """Return an image as PNG for a notebook, at most 1024 pixels wide and high; it may shrink."""
    image.thumbnail((NOTEBOOK_SIDE, NOTEBOOK_SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def save_annotated(image: "PIL.Image.Image", target: Path) -> None:
    """Write an annotated image as a PNG file with emonet's mark."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(*MADE_BY)
    with atomic_write(target) as file:
        image.save(file, format="PNG", pnginfo=info)


def is_annotated(file: Path) -> bool:
    """Return whether save_annotated wrote a file."""
    from PIL import Image

    keyword, maker = MADE_BY
    try:
        with Image.open(file) as image:
            return bool(image.info.get(keyword) == maker)
    except (OSError, ValueError, SyntaxError):
        return False

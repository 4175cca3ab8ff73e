"""Find a font that covers a text.

Pillow's own font has ASCII letters only. For all others, the fonts of the system and of
Matplotlib are searched.
"""

import logging
import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

logger = logging.getLogger("emonet")

#: A code point that no script uses: fonts show their sign for a missing letter.
MISSING = "\U0010fffe"
#: Words in the names of fonts that are harder to read, or hold signs only.
UNSUITABLE = ("bold", "italic", "oblique", "light", "thin", "mono", "condensed", "emoji", "serif")


def font_for(text: str, size: int) -> "FreeTypeFont":
    """Return a font that has the letters of a text; log a script that no font has, once.

    Args:
        text: one line.
        size: pixels of a line.
    """
    letters = frozenset(char for char in text if char.isprintable() and not char.isascii())
    return _load(_font_file(letters), size)


@lru_cache(maxsize=128)
def _load(file: Path | None, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    if file is not None:
        return ImageFont.truetype(file, size)
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101  Pillow's bitmap font has no size
    return font


@lru_cache(maxsize=1024)
def _font_file(letters: frozenset[str]) -> Path | None:
    """Return the file of a font that has all letters; None for Pillow's own font."""
    if not (missing := _not_covered(_load(None, 16), letters)):
        return None
    for file in _font_files():
        try:
            font = _load.__wrapped__(file, 16)
            if not _not_covered(font, letters):
                return file
        except (OSError, ValueError):  # a damaged file, or a font of pictures
            continue
    for char in sorted(missing):
        _report(unicodedata.name(char, "unknown").split()[0].lower())
    return None


def _not_covered(font: "FreeTypeFont", letters: frozenset[str]) -> set[str]:
    """Return the letters that a font lacks."""
    if not letters:
        return set()
    sign = _picture(font, MISSING)
    return {char for char in letters if _picture(font, char) == sign}


def _picture(font: "FreeTypeFont", char: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(char)
    return mask.size, bytes(mask)


@cache
def _report(script: str) -> None:
    """Log a script that no font has; the cache keeps it to once."""
    logger.warning(
        "No installed font has letters of the script %s, so labels show boxes. Install a font "
        "that has them, such as one of Google's Noto fonts",
        script,
    )


@cache
def _font_files() -> list[Path]:
    """Return the font files at hand, those that are easy to read first."""
    folders = list(_system_folders())
    spec = find_spec("matplotlib")
    if spec is not None and spec.origin:
        folders.append(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf")
    files = {
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.suffix.lower() in (".ttf", ".otf", ".ttc")
        and not file.stem.startswith("LastResort")  # signs for scripts
    }
    return sorted(files, key=lambda file: (_unsuitable(file.stem.lower()), file.name, file))


def _unsuitable(name: str) -> int:
    return sum(word in name.replace("sansserif", "sans") for word in UNSUITABLE)


def _system_folders() -> Iterator[Path]:
    home = Path.home()
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")
        yield home / "AppData/Local/Microsoft/Windows/Fonts"
    elif sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts")
    else:
        yield from (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
        yield from (home / ".local/share/fonts", home / ".fonts")

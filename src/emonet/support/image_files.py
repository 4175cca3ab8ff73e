"""Find image files: in folders, by patterns, or as given."""

import glob
from collections.abc import Iterable
from pathlib import Path

from emonet.errors import InputError

#: Suffixes of images in folders. A file that the user names may have any suffix.
IMAGE_SUFFIXES = {
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg"),
    *(".png", ".tif", ".tiff", ".webp"),
}


def has_image_suffix(path: Path) -> bool:
    """Return whether a path has an image's suffix and is not hidden."""
    hidden = path.name.startswith(".")  # macOS's ._face.png is not an image
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden


def is_image_file(path: Path) -> bool:
    """Return whether a path is a file with an image's suffix, and not hidden."""
    return has_image_suffix(path) and path.is_file()


def image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder and its sub-folders, sorted by their paths."""
    return sorted(path for path in folder.rglob("*") if is_image_file(path))


def find_images(paths: Iterable[str], *, without: Path | None = None) -> dict[str, Path]:
    """Return the image files of paths, folders and patterns, each once.

    Each has a path for a copy: below a folder, its path in the folder, else its name. A search of
    a folder skips the folder ``without`` in it, which may hold annotated copies of an earlier run.

    Raises:
        InputError: a folder holds no images, or no file matches a pattern.
    """
    images: dict[str, Path] = {}
    excluded = None if without is None else without.resolve()
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found = image_files(path)
            if excluded not in (None, path.resolve()):
                found = [file for file in found if excluded not in file.resolve().parents]
            if not found:
                raise InputError(f"The folder {given} holds no images")
            for file in found:
                images.setdefault(str(file), file.relative_to(path))
        elif not path.exists() and glob.has_magic(given):
            matches = sorted(p for p in glob.glob(given, recursive=True) if not Path(p).is_dir())
            if not matches:
                raise InputError(f"No file matches {given}")
            for match in matches:
                images.setdefault(match, Path(Path(match).name))
        else:
            images.setdefault(given, Path(path.name))
    return images

"""Labelled images in folders: one folder per class, and above it one per split or none."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.data.splits import SPLIT_FOLDERS, TRAINING, official_split
from emonet.errors import DataError, ImageError
from emonet.labels import canonical_label, canonical_labels
from emonet.pipeline.crops import whole_face
from emonet.pipeline.images import load_image

__all__ = ["class_images", "folder_splits", "read_folder"]

logger = logging.getLogger("emonet")

#: Of the files that are looked for in folders; a file that is named may have any.
IMAGE_SUFFIXES = {
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg"),
    *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
}


def read_folder(
    path: Path, split: str, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...], bool]:
    """Read ``path/<split>/<class>/*.png``, or ``path/<class>/*.png`` where there is no split.

    Every image is one face crop and is made grey and resized whole.

    Args:
        path: the folder.
        split: any name that official_split knows.
        size: (height, width) of the result, pixels.

    Returns:
        images uint8 (n, height, width), classes int64 (n,), the labels, and whether an image was
        larger than that.

    Raises:
        DataError: no such split, no class folders, or a class folder without images.
    """
    root = _split_folder(path, split)
    labels = canonical_labels(folder.name for folder in _class_folders(root))
    images, classes, larger = [], [], False
    for label, file in class_images(root):
        try:
            image = load_image(file)
        except ImageError as error:
            logger.warning("Left out: %s", error)
            continue
        larger |= max(image.shape[:2]) > max(size)
        images.append(whole_face(image, size))
        classes.append(labels.index(label))
    if not images:
        raise DataError(f"No image below {root} could be read")
    return np.stack(images), np.array(classes), labels, larger


def is_image_file(path: Path) -> bool:
    """Tell by its name whether an entry of a folder is an image, and not one that hides."""
    hides = path.name.startswith(".")  # such as macOS's ._face.png, which is no image
    return path.suffix.lower() in IMAGE_SUFFIXES and not hides and path.is_file()


def class_images(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (label, image file) of every class folder in a folder.

    Raises:
        DataError: there is no class folder, or one is without images.
    """
    for folder in _class_folders(root):
        files = sorted(file for file in folder.iterdir() if is_image_file(file))
        if not files:
            raise DataError(f"The class folder {folder} has no images")
        for file in files:
            yield canonical_label(folder.name), file


def _class_folders(root: Path) -> list[Path]:
    folders = sorted(
        folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")
    )
    if not folders:
        raise DataError(f"{root} has no class folders: expected one folder of images per class")
    return folders


def folder_splits(path: Path) -> dict[str, Path]:
    """Return the splits that a folder is divided into, by their official names; maybe none."""
    by_name = {folder.name.lower(): folder for folder in path.iterdir() if folder.is_dir()}
    return {
        official: by_name[name]
        for official, names in SPLIT_FOLDERS.items()
        for name in reversed((official.lower(), *names))
        if name in by_name
    }


def _split_folder(path: Path, split: str) -> Path:
    """Find the split's folder; a folder without any split is one split by itself."""
    splits, official = folder_splits(path), official_split(split)
    if official in splits:
        return splits[official]
    if splits:
        found = sorted(folder.name for folder in splits.values())
        raise DataError(f"{path} has no folder for the split {split}: found {found}")
    if official != TRAINING:
        raise DataError(
            f"{path} is not divided into splits, so it has no {split}; "
            f"make folders train, validation and test in it"
        )
    return path

"""Labelled images in folders: one folder per class, and above it one per split or none."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.data.splits import SPLIT_FOLDERS, official_split
from emonet.errors import DataError, ImageError
from emonet.labels import canonical_label, canonical_labels
from emonet.pipeline.crops import whole_face
from emonet.pipeline.images import load_image

__all__ = ["read_folder"]

logger = logging.getLogger("emonet")

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def read_folder(
    path: Path, split: str, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Read ``path/<split>/<class>/*.png``, or ``path/<class>/*.png`` where there is no split.

    Every image is one face crop and is made grey and resized whole.

    Args:
        path: the folder.
        split: any name that official_split knows.
        size: (height, width) of the result, pixels.

    Returns:
        images uint8 (n, height, width), classes int64 (n,), the labels.

    Raises:
        DataError: no such split, no class folders, or a class folder without images.
    """
    root = _split_folder(path, split)
    folders = sorted(
        folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")
    )
    if not folders:
        raise DataError(f"{root} has no class folders: expected one folder of images per class")
    labels = canonical_labels(folder.name for folder in folders)
    images, classes = [], []
    for folder in folders:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise DataError(f"The class folder {folder} has no images")
        for file in files:
            try:
                images.append(whole_face(load_image(file), size))
            except ImageError as error:
                logger.warning("Left out: %s", error)
                continue
            classes.append(labels.index(canonical_label(folder.name)))
    if not images:
        raise DataError(f"No image below {root} could be read")
    return np.stack(images), np.array(classes), labels


def _split_folder(path: Path, split: str) -> Path:
    """Find the split's folder; a folder without any split is one split by itself."""
    by_name = {folder.name.lower(): folder for folder in path.iterdir() if folder.is_dir()}
    for name in (split.lower(), *SPLIT_FOLDERS[official_split(split)]):
        if name in by_name:
            return by_name[name]
    all_names = {name for names in SPLIT_FOLDERS.values() for name in names}
    if all_names & set(by_name):
        raise DataError(f"{path} has no folder for the split {split}: found {sorted(by_name)}")
    if official_split(split) != "Training":
        raise DataError(
            f"{path} is not divided into splits, so it has no {split}; "
            f"make folders train, validation and test in it"
        )
    return path

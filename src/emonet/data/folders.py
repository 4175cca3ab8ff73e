"""Folders of images: one folder per class, optionally below one folder per split."""

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
from emonet.support.image_files import is_image_file

logger = logging.getLogger("emonet")


def read_folder(
    path: Path, split: str, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...], bool, NDArray[np.str_]]:
    """Read ``path/<split>/<class>/*.png``, or ``path/<class>/*.png`` in a folder without splits.

    Every image is one face crop. It is converted to grey and resized without cropping.

    Args:
        path: the folder.
        split: any name of a split that official_split accepts.
        size: (height, width) of the result, pixels.

    Returns:
        images uint8 (n, height, width), classes int64 (n,), the labels, whether any image was
        larger than ``size``, and the paths of the images (n,).

    Raises:
        DataError: the split, class folders, or images that can be read are missing.
    """
    root = _split_folder(path, split)
    labels = canonical_labels(folder.name for folder in _class_folders(root))
    images, classes, files, larger = [], [], [], False
    for label, file in class_images(root):
        try:
            image = load_image(file)
        except ImageError as error:
            logger.warning("Skipped an image: %s", error)
            continue
        larger |= max(image.shape[:2]) > max(size)
        images.append(whole_face(image, size))
        classes.append(labels.index(label))
        files.append(str(file))
    if not images:
        raise DataError(f"No image below {root} could be read: the log names each file")
    return np.stack(images), np.array(classes), labels, larger, np.array(files)


def class_images(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (label, image file) for every image in a folder's class folders.

    Raises:
        DataError: there is no class folder, or a class folder has no images.
    """
    for folder in _class_folders(root):
        files = sorted(file for file in folder.iterdir() if is_image_file(file))
        if not files:
            raise DataError(f"The class folder {folder} has no images: add some or remove it")
        for file in files:
            yield canonical_label(folder.name), file


def _class_folders(root: Path) -> list[Path]:
    folders = sorted(
        folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")
    )
    if not folders:
        raise DataError(f"{root} has no class folders: make one folder of images per class")
    return folders


def folder_splits(path: Path) -> dict[str, Path]:
    """Return the folder of each split by its official name; empty for a folder without splits."""
    by_name = {folder.name.lower(): folder for folder in path.iterdir() if folder.is_dir()}
    return {
        official: by_name[name]
        for official, names in SPLIT_FOLDERS.items()
        for name in reversed((official.lower(), *names))
        if name in by_name
    }


def _split_folder(path: Path, split: str) -> Path:
    """Return a split's folder; a folder without splits is Training itself."""
    splits, official = folder_splits(path), official_split(split)
    if official in splits:
        return splits[official]
    if splits:
        found = sorted(folder.name for folder in splits.values())
        raise DataError(f"{path} has no folder for the split {split}; it has {found}")
    if official != TRAINING:
        raise DataError(
            f"{path} is not divided into splits, so it has no {split}: "
            f"make the folders train, validation and test in it"
        )
    return path

"""Faces and labels of a Dataset of Hugging Face's datasets."""

import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError
from emonet.labels import canonical_label, canonical_labels
from emonet.pipeline.crops import faces_by_size


class HuggingFaceDataset(Protocol):
    """A ``datasets.Dataset``."""

    @property
    def features(self) -> Any:
        """The kind of each column."""
        ...

    def __len__(self) -> int:
        """Return the number of rows."""
        ...


def is_hugging_face(data: Any) -> bool:
    """Return whether a value is a Dataset or a DatasetDict, without importing datasets."""
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(
        data, datasets.Dataset | datasets.DatasetDict | datasets.IterableDataset
    )


def read_hugging_face(
    data: Any, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Return the faces of a ``datasets.Dataset`` with an Image column and a ClassLabel column.

    Args:
        data: the Dataset; each image is one face crop, converted to grey and resized.
        size: (height, width) of the result, pixels.

    Returns:
        images uint8 (n, height, width), classes int64 (n,) and the labels.

    Raises:
        DataError: it is no single split, or has not one column of each kind, or rows without
            a label.
        ImageError: an image can't be read; the message says which.
    """
    import datasets

    if not isinstance(data, datasets.Dataset):
        parts = f" of {', '.join(map(str, data))}" if isinstance(data, dict) else ""
        raise DataError(
            f"Expected one split{parts}, got {type(data).__name__}: pass a datasets.Dataset, for "
            f"example load_dataset(..., split='train')"
        )
    image = _column(data, datasets.Image)
    label = _column(data, datasets.ClassLabel)
    names = data.features[label].names
    labels = canonical_labels(names)
    # A Dataset may return arrays or tensors; images are needed here.
    plain = data.with_format(None)
    given = np.array([-1 if value is None else value for value in plain[label]], np.int64)
    if (given < 0).any():
        raise DataError(
            f"{(given < 0).sum()} of {len(given)} rows have no {label}: filter the rows first"
        )
    columns = np.array([labels.index(canonical_label(name)) for name in names])
    faces = faces_by_size((row[image] for row in plain.select_columns(image)), (size,))[size]
    return faces, columns[given], labels


def _column(data: Any, kind: type) -> str:
    """Return the name of the only column of a kind."""
    found = [str(name) for name, feature in data.features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        raise DataError(
            f"The Dataset needs one column of {kind.__name__}, got {', '.join(found) or 'none'} "
            f"among {', '.join(map(str, data.features))!s:.300}: use cast_column, or select_columns"
        )
    return found[0]

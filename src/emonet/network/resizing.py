"""Resize faces inside a model with matrix products, which every runtime supports."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray


class Resized(layers.Layer):  # type: ignore[misc]
    """Resizes faces: (n, h, w) -> (n, new h, new w)."""

    def __init__(
        self, rows: NDArray[np.float32], columns: NDArray[np.float32], **options: Any
    ) -> None:
        """Store the matrices (new h, h) and (new w, w) that resize rows and columns."""
        super().__init__(**options)
        self.rows, self.columns = rows, columns

    def call(self, faces: keras.KerasTensor) -> keras.KerasTensor:
        """Resize float32 faces."""
        return ops.matmul(ops.matmul(self.rows, faces), self.columns.T)


def bicubic(old: int, new: int) -> NDArray[np.float32]:
    """Return the float32 (new, old) matrix that resizes one side like Keras' bicubic Resizing."""
    each_pixel = np.eye(old, dtype=np.float32)[..., np.newaxis]
    matrix = ops.image.resize(each_pixel, (new, old), interpolation="bicubic")
    return np.asarray(ops.convert_to_numpy(matrix)[..., 0], np.float32)

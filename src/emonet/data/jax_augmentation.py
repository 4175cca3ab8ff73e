"""Augmentation in JAX: the random changes of ``augmentation``, as part of a compiled step.

``augmentation`` warps and compresses faces with OpenCV on the CPU. A GPU would wait for it, and a
compiled step can't call it. The distributions are the same here, and the random numbers differ.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.scipy.ndimage import map_coordinates

from emonet.data.augmentation import ERASED_AREA, ERASED_RATIO, JPEG_QUALITIES, Augmentation, affine

#: The luminance table of the JPEG standard (ITU-T T.81, annex K), for quality 50.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
BLOCK = len(LUMINANCE)


def augment_geometry(
    faces: jax.Array, settings: Augmentation, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return every face rotated, sheared, zoomed, shifted and flipped at random.

    Args:
        faces: uint8 (n, height, width).
        settings: the ranges.
        key: random key; equal keys give equal results.

    Returns:
        float32 (n, height, width) faces of whole grey values, 0..255, and bool (n,): whether each
        face was flipped.
    """
    number, height, width = faces.shape
    ranges = (settings.rotation, settings.shear, settings.zoom, settings.shift)
    if not (settings.horizontal_flip or any(ranges)):
        return faces.astype(jnp.float32), jnp.zeros(number, bool)
    draw = _drawer(key, (number,))
    flipped = draw(0, 1) < (0.5 if settings.horizontal_flip else 0.0)
    matrices = affine((height, width), flipped, settings, lambda limit: draw(-limit, limit), jnp)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    # (n, 3) x (3, pixels): the original coordinates (x, y) of each pixel.
    grid = jnp.stack([columns.ravel(), rows.ravel(), np.ones(height * width, np.float32)])
    # TensorFloat-32 would move a coordinate by a twentieth of a pixel.
    places = jnp.matmul(matrices, grid, precision="highest").reshape(number, 2, height, width)

    def warp(face: jax.Array, place: jax.Array) -> jax.Array:
        return map_coordinates(face, [place[1], place[0]], order=1, mode="mirror")

    return jnp.rint(jax.vmap(warp)(faces.astype(jnp.float32), places)), flipped


def augment_appearance(
    faces: jax.Array, settings: Augmentation, key: jax.Array, *, erase: jax.Array | bool = True
) -> jax.Array:
    """Return faces with light, compression and occlusion changed at random.

    Args:
        faces: float32 (n, height, width), 0..255.
        settings: the ranges.
        key: random key; equal keys give equal results.
        erase: False omits random erasing. It may be traced, so one compiled step serves both.
    """
    light, compression, erasing = jax.random.split(key, 3)
    if settings.contrast or settings.brightness or settings.exposure:
        faces = _relight(faces, settings, light)
    if settings.jpeg_compression:
        faces = _compress(faces, settings.jpeg_compression, compression)
    if settings.random_erasing:
        faces = _erase(faces, jnp.where(erase, settings.random_erasing, 0.0), erasing)
    return faces


def _drawer(key: jax.Array, shape: tuple[int, ...]) -> Callable[..., jax.Array]:
    """Return a function that draws uniform numbers, other ones in each call."""
    calls = count()

    def draw(low: float, high: float) -> jax.Array:
        return jax.random.uniform(
            jax.random.fold_in(key, next(calls)), shape, minval=low, maxval=high
        )

    return draw


def _relight(faces: jax.Array, settings: Augmentation, key: jax.Array) -> jax.Array:
    """Change exposure, contrast and brightness."""
    draw = _drawer(key, (len(faces), 1, 1))
    if settings.exposure:
        faces = jnp.minimum(faces * jnp.exp2(draw(-settings.exposure, settings.exposure)), 255)
    gain = 1 + draw(-settings.contrast, settings.contrast)
    offset = draw(-settings.brightness, settings.brightness)
    mean = faces.mean(axis=(1, 2), keepdims=True)
    return jnp.clip((faces - mean) * gain + mean + offset, 0, 255)


def _compress(faces: jax.Array, probability: float, key: jax.Array) -> jax.Array:
    """Round the cosine coefficients of some faces as JPEG does, with libjpeg's tables."""
    chosen, quality = jax.random.split(key)
    chosen = jax.random.uniform(chosen, (len(faces), 1, 1)) < probability
    low, high = JPEG_QUALITIES
    quality = jax.random.randint(quality, (len(faces), 1, 1), low, high + 1)
    return jnp.where(chosen, jpeg(faces, quality), faces)


def jpeg(faces: jax.Array, quality: jax.Array) -> jax.Array:
    """Return float32 (n, height, width) faces as a JPEG of this quality, (n, 1, 1), shows them."""
    number, height, width = faces.shape
    scale = jnp.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    table = jnp.clip((LUMINANCE * scale + 50) // 100, 1, 255)[:, np.newaxis, np.newaxis]
    padding = ((0, 0), (0, -height % BLOCK), (0, -width % BLOCK))
    padded = jnp.pad(jnp.rint(faces), padding, mode="edge") - 128
    shape = (number, padded.shape[1] // BLOCK, BLOCK, padded.shape[2] // BLOCK, BLOCK)
    blocks = padded.reshape(shape).transpose(0, 1, 3, 2, 4)
    cosines = _cosines()
    rounded = jnp.rint(_product(cosines, blocks, cosines.T) / table) * table
    decoded = _product(cosines.T, rounded, cosines).transpose(0, 1, 3, 2, 4).reshape(padded.shape)
    return jnp.clip(jnp.rint(decoded[:, :height, :width]) + 128, 0, 255)


def _product(first: Any, second: Any, third: Any) -> jax.Array:
    """Return a matrix product in full precision, which GPUs lack by default."""
    return jnp.matmul(jnp.matmul(first, second, precision="highest"), third, precision="highest")


def _cosines() -> np.ndarray:
    """Return the matrix of the discrete cosine transform of a block."""
    frequency, place = np.mgrid[0:BLOCK, 0:BLOCK]
    matrix = np.cos(np.pi * frequency * (2 * place + 1) / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float32)


def _erase(faces: jax.Array, probability: jax.Array, key: jax.Array) -> jax.Array:
    """Cover a rectangle in some faces with noise (Zhong et al. 2017)."""
    number, height, width = faces.shape
    chosen, noise = jax.random.split(key)
    draw = _drawer(chosen, (number, 1, 1))
    chosen = draw(0, 1) < probability
    area, ratio = draw(*ERASED_AREA) * height * width, draw(*ERASED_RATIO)
    rows = jnp.clip(jnp.rint(jnp.sqrt(area * ratio)), 1, height)
    columns = jnp.clip(jnp.rint(jnp.sqrt(area / ratio)), 1, width)
    top = jnp.floor(draw(0, 1) * (height - rows + 1))
    left = jnp.floor(draw(0, 1) * (width - columns + 1))
    y, x = np.mgrid[0:height, 0:width]
    inside = (y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)
    return jnp.where(chosen & inside, jax.random.uniform(noise, faces.shape, maxval=255.0), faces)

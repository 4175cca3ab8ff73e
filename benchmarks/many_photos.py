"""Make many small photos from a few: crops, flips and scales, in shards of a WebDataset."""

import io
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from emonet.errors import InputError
from emonet.plugin import usable_cores
from emonet.support.files import atomic_write
from emonet.support.image_files import image_files

#: Photos in each shard; a shard is one part of a batch run.
SHARD_PHOTOS = 1000
#: Smallest and largest width and height of a made photo.
WIDTHS, HEIGHTS = (200, 320), (200, 240)
#: Smallest share of a photo's width that a crop takes.
SMALLEST_CROP = 0.4
QUALITIES = (70, 95)


def make_photos(
    photos: Path, count: int, folder: Path, *, seed: int = 0, shard_photos: int = SHARD_PHOTOS
) -> list[Path]:
    """Write ``count`` JPEG photos as tar shards; skip the shards that exist.

    Equal photos, libraries and seeds give equal files.

    Args:
        photos: a folder of photos.
        count: number of photos to make.
        folder: gets ``photos-0000.tar`` and so on.
        seed: start of the random numbers.
        shard_photos: photos in each shard.

    Returns:
        The shards.
    """
    originals = [str(path) for path in image_files(photos)]
    if not originals:
        raise InputError(f"The folder {photos} holds no images")
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, shard_photos)
    shards = [folder / f"photos-{number:04d}.tar" for number in range(len(starts))]
    todo = [
        (shard, range(start, min(start + shard_photos, count)))
        for shard, start in zip(shards, starts, strict=True)
        if not shard.exists()
    ]
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_write_shard, todo, repeat(originals), repeat(seed)):
            pass
    return shards


def _write_shard(task: tuple[Path, range], originals: Sequence[str], seed: int) -> None:
    shard, numbers = task
    photos = [Image.open(path).convert("RGB") for path in originals]
    with atomic_write(shard) as temporary, tarfile.open(temporary, "w") as tar:
        for number in numbers:
            data = _photo(photos, np.random.default_rng([seed, number]))
            entry = tarfile.TarInfo(f"{number:07d}.jpg")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def _photo(photos: Sequence[Image.Image], rng: np.random.Generator) -> bytes:
    """Return a random part of a random photo, as JPEG."""
    photo = photos[rng.integers(len(photos))]
    width = int(rng.integers(WIDTHS[0], WIDTHS[1] + 1))
    height = int(rng.integers(HEIGHTS[0], HEIGHTS[1] + 1))
    # The largest crop with the shape of the made photo fits the original.
    scale = min(photo.width / width, photo.height / height) * rng.uniform(SMALLEST_CROP, 1)
    left = rng.uniform(0, photo.width - scale * width)
    top = rng.uniform(0, photo.height - scale * height)
    box = (left, top, left + scale * width, top + scale * height)
    made = photo.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=2)
    if rng.random() < 0.5:
        made = made.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    buffer = io.BytesIO()
    made.save(buffer, "JPEG", quality=int(rng.integers(QUALITIES[0], QUALITIES[1] + 1)))
    return buffer.getvalue()

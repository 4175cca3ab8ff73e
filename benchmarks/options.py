"""Options of a run of the suite."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options for all parts; each part reads the options that it needs.

    Attributes:
        backbones: names of backbones.
        features: ``pixels``, or names of feature extractors to fuse with the pixels.
        batch_sizes: faces per batch.
        precisions: ``float32``, ``bfloat16``, ``float16``; the last two are mixed precisions.
        compile: False without XLA, True with XLA, or both.
        runs: runs of each row, after one run to warm up.
        seconds: no run of a row starts after this time.
        quick: use small sizes, to test only that everything runs.
        data: FER-2013's CSV file; None uses random faces.
        split: split of the data.
        explained: faces of the split that maps are computed for.
        photos: folder of images; None uses copies of a photo from scikit-image.
        sequences: number of made films of faces; 0 for one of each face of the split.
        peers: folder of the peers' environments.
    """

    backbones: tuple[str, ...] = ()
    features: tuple[str, ...] = ("pixels", "bovw")
    batch_sizes: tuple[int, ...] = (1, 8, 32, 128)
    precisions: tuple[str, ...] = ("float32", "bfloat16")
    compile: tuple[bool, ...] = (False, True)
    runs: int = 20
    seconds: float = 30.0
    quick: bool = False
    data: str | None = None
    split: str = "PublicTest"
    explained: int = 500
    photos: str | None = None
    sequences: int = 500
    peers: str | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return options from their JSON; lists become tuples, which JSON lacks."""
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
            }
        )

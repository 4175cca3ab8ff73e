"""What a run of the suite measures, and for how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Options:
    """The same for all parts; each takes from it what concerns it.

    Attributes:
        backbones: names.
        features: ``pixels``, or the name of a feature extractor that is fused with them.
        batch_sizes: faces in a batch.
        precisions: ``float32``, ``bfloat16``, ``float16``; the last two are mixed.
        compile: with XLA or without, or both.
        runs: of each row, after one to warm up.
        seconds: no further run of a row starts after this long.
        quick: small sizes, which show only that everything runs.
        data: FER-2013's CSV file, for its faces; None takes random ones.
        split: of data.
        photos: a folder of images; None takes copies of one that scikit-image brings.
        yunet: YuNet's ONNX file; None looks into the Hub's cache.
        peers: the folder with the peers' environments.
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
    photos: str | None = None
    yunet: str | None = None
    peers: str | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Take back what went through JSON, which has no tuples."""
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
            }
        )

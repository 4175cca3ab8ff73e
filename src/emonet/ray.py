"""Consumer: find faces inside a Ray Data pipeline of your own."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emonet.recognizer import EmotionRecognizer
from emonet.results import ImageResult
from emonet.support.cores import limit_to_assigned_cores
from emonet.tables import to_arrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FaceTable"]


class FaceTable:
    """An actor for ``Dataset.map_batches``: images in, one row per face out.

    Each actor loads the model once, and uses the cores that Ray assigns to it (``num_cpus``). Rows
    have the columns of ``emonet.to_arrow``. An image that can't be read becomes a row with an
    error.

    Args:
        model: as for ``EmotionRecognizer.from_pretrained``.
        column: column with the images: encoded bytes, arrays as ``ray.data.read_images`` makes
            them, or paths.
        path_column: column with the names of the images, for the column ``path`` of the rows;
            without it, paths name themselves, and other images have no name.
        min_score: score threshold, 0..1; a face with a lower score gets no label.
        pretrained: other arguments of ``from_pretrained``.

    Examples:
        >>> faces = ray.data.read_binary_files("photos/", include_paths=True).map_batches(
        ...     FaceTable,
        ...     fn_constructor_kwargs={"model": "tiny", "path_column": "path"},
        ...     batch_size=64,
        ...     concurrency=2,
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        column: str = "bytes",
        path_column: str | None = None,
        min_score: float = 0.0,
        **pretrained: Any,
    ) -> None:
        limit_to_assigned_cores()
        self._recognizer = EmotionRecognizer.from_pretrained(model, **pretrained)
        self._column = column
        self._path_column = path_column
        self._min_score = min_score

    def __call__(self, batch: Mapping[str, Any]) -> "pyarrow.Table":
        """Return the rows of a batch, a mapping from columns to arrays.

        Raises:
            KeyError: the batch lacks a column.
        """
        images = list(batch[self._column])
        results: Iterable[ImageResult] = self._recognizer.stream(images, min_score=self._min_score)
        if self._path_column is not None:
            names = (str(name) for name in batch[self._path_column])
            results = (
                replace(result, path=name) for result, name in zip(results, names, strict=True)
            )
        return to_arrow(results, labels=self._recognizer.labels)

"""Process parts on a Ray cluster: each part is one task of a pool of actors."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.batch.files import read_counts
from emonet.batch.local import Job, process
from emonet.errors import ConfigError
from emonet.recognizer import EmotionRecognizer
from emonet.support.cores import limit_to_assigned_cores

Rows = dict[str, NDArray[Any]]


def process_on_ray(
    loading: Mapping[str, Any],
    jobs: Sequence[Job],
    folder: Path,
    address: str | None,
    *,
    min_score: float = 0.0,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write one Parquet file for each part, as ``process`` does, on the machines of a cluster.

    Args:
        loading: arguments of EmotionRecognizer.from_pretrained.
        jobs: (number, part); the machines see the files of the parts under the same paths.
        folder: where the files are written; the machines see it under the same path.
        address: address of the cluster; None starts one on this machine, unless the caller has.
        min_score: score threshold, 0..1.
        advance: called after each image.

    Raises:
        ConfigError: ``loading`` asks for a GPU, and the cluster has none.
    """
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    if not jobs:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    items = ray.data.from_items(
        [{"number": number, "part": part} for number, part in jobs],
        override_num_blocks=len(jobs),
    )
    on_gpu = loading.get("device") == "cuda"
    available = int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 0))
    if on_gpu and not available:
        raise ConfigError("device='cuda': the Ray cluster has no GPU. Use device='cpu'")
    settings = {"loading": dict(loading), "folder": str(folder.absolute()), "min_score": min_score}
    finished = items.map_batches(
        PartWriter,
        batch_size=1,
        fn_constructor_kwargs=settings,
        # All actors at once: Ray would start with one. A cluster that grows gets more actors.
        concurrency=(max(1, min(available, len(jobs))), len(jobs)),
        num_gpus=1 if on_gpu else None,
    )
    for row in finished.iter_rows():
        for _ in range(row["images"]):
            advance()


class PartWriter:
    """An actor that loads the model once and writes parts."""

    def __init__(self, loading: Mapping[str, Any], folder: str, min_score: float) -> None:
        limit_to_assigned_cores()
        self._recognizer = EmotionRecognizer.from_pretrained(**loading)
        self._folder = Path(folder)
        self._min_score = min_score

    def __call__(self, rows: Rows) -> Rows:
        """Write the parts in the rows; return how many images each has."""
        jobs = list(zip(rows["number"].tolist(), rows["part"], strict=True))
        process(self._recognizer, jobs, self._folder, min_score=self._min_score)
        counts = [read_counts(self._folder, number) for number, _ in jobs]
        return {"images": np.array([0 if count is None else count.images for count in counts])}

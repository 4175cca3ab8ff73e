"""Run a batch: divide the source, skip the finished parts, process the others."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from emonet.batch.files import Counts, read_counts
from emonet.batch.local import Job, process
from emonet.batch.manifest import describe_run, open_manifest, write_manifest
from emonet.batch.on_ray import process_on_ray
from emonet.batch.parts import divide
from emonet.errors import ConfigError
from emonet.plugin import require_number
from emonet.recognizer import EmotionRecognizer
from emonet.support.dependencies import require
from emonet.support.files import lock_folder, sweep
from emonet.support.progress import progress_bar

Engine = Literal["local", "ray"]
MAX_PART = 1_000_000


def run_batch(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    model: str | Path | None = None,
    engine: Engine = "local",
    address: str | None = None,
    min_score: float = 0.0,
    part_size: int = 1000,
    column: str | None = None,
    progress: bool = False,
    **pretrained: Any,
) -> Counts:
    """Find the faces in any number of images, and write a folder of Parquet files.

    The folder gets ``part-000000.parquet`` and so on, in the columns of ``emonet.to_arrow``, and
    ``manifest.json``. After an interruption, run it again with the same arguments: finished parts
    stay. An image that can't be read becomes a row with an error.

    Args:
        sources: folders, images and patterns; ``.txt`` files with one path per line; ``.parquet``
            files with a column of paths or image bytes; ``.tar`` shards of a WebDataset.
        folder: made when needed.
        model: as for ``EmotionRecognizer.from_pretrained``.
        engine: ``"local"``: all cores of this machine; ``"ray"``: a Ray cluster, whose machines
            see the same files and the same folder.
        address: address of the Ray cluster; by default Ray starts one on this machine.
        min_score: score threshold, 0..1; a face with a lower score gets no label.
        part_size: number of images in a part. A shard is one part, whatever its size.
        column: column of a Parquet file that has the images.
        progress: show a progress bar on a terminal.
        pretrained: other arguments of ``EmotionRecognizer.from_pretrained``.

    Returns:
        How many images, faces and failed images the folder holds.

    Raises:
        MissingDependencyError: pyarrow or Ray is not installed.
        InputError: a source does not exist or holds no images.
        ConfigError: an argument is not legal, or the folder holds another run or other files, or
            another process works in it.

    Examples:
        >>> run_batch(["photos/"], "faces/", model="tiny")  # doctest: +SKIP
        Counts(images=24, faces=31, failed=0)
    """
    require("tables", "Batch processing")
    require_number("batch", "part_size", part_size, 1, MAX_PART, whole=True)
    if engine not in get_args(Engine):
        raise ConfigError(f"engine must be 'local' or 'ray', got {engine!r:.80}")
    if engine == "ray":
        require("ray", "The engine 'ray'")
    # With Ray, this process only describes the model: the device is that of the actors.
    here = {**pretrained, "device": "auto"} if engine == "ray" else pretrained
    recognizer = EmotionRecognizer.from_pretrained(model, **here)
    parts = divide([str(source) for source in sources], part_size=part_size, column=column)
    arguments = {"min_score": min_score, "part_size": part_size, "column": column}
    run = describe_run(recognizer, parts, arguments)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        sweep(folder)
        open_manifest(folder, run)
        jobs = [
            (number, part)
            for number, part in enumerate(parts)
            if read_counts(folder, number) is None
        ]
        with progress_bar("Images", _total(jobs) if progress else None) as advance:
            if engine == "local":
                process(recognizer, jobs, folder, min_score=min_score, advance=advance)
            else:
                loading = {"source": model, **pretrained}
                process_on_ray(loading, jobs, folder, address, min_score=min_score, advance=advance)
        finished = (read_counts(folder, number) or Counts() for number in range(len(parts)))
        counts = sum(finished, Counts())
        write_manifest(folder, {**run, "counts": asdict(counts)})
    return counts


def _total(jobs: Sequence[Job]) -> int | None:
    """Return the number of images; None if a shard is among the parts."""
    counts = [part.count for _, part in jobs]
    return None if None in counts else sum(count or 0 for count in counts)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder; raise ConfigError if another process has."""
    with ExitStack() as lock:
        try:
            lock.enter_context(lock_folder(folder))
        except BlockingIOError as error:
            raise ConfigError(
                f"Another process works in {folder}: wait for it, or choose another folder"
            ) from error
        yield

"""Kill ``emonet batch`` in the middle, start it again, and check what it wrote."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from emonet.batch import run_batch
from emonet.batch.files import part_file, read_counts
from emonet.batch.manifest import MANIFEST_FILE
from emonet.support.files import TEMPORARY

SECONDS_BETWEEN_SAMPLES = 0.5
#: Largest difference of a probability or a box's side between two runs of a part.
TOLERANCE = 1e-3


def interrupted_run(shards: Sequence[Path], folder: Path, *, model: str, kills: int) -> dict:
    """Run ``emonet batch`` on shards, kill it at even distances, and check the folder.

    Args:
        shards: tar files with images; each is one part.
        folder: gets the Parquet files.
        model: as for ``emonet batch``.
        kills: how often the run is killed with SIGKILL.

    Returns:
        Counts, time and peak memory of each attempt, and what the check found.
    """
    attempts, first_parts = [], []
    for attempt in range(kills + 1):
        before = _finished(folder, len(shards))
        limit = None if attempt == kills else len(shards) * (attempt + 1) // (kills + 1)
        attempts.append(_attempt(shards, folder, model, limit))
        after = _finished(folder, len(shards))
        if any(after.get(number) != time_ns for number, time_ns in before.items()):
            raise RuntimeError("a finished part was written again")
        new = sorted(after.keys() - before.keys())
        first_parts += new[:1]
        attempts[-1] |= {"parts": len(new), "images": _images(folder, new)}
        print(json.dumps(attempts[-1]), file=sys.stderr, flush=True)
    return {
        "attempts": attempts,
        **_check(shards, folder),
        "parts_compared": _compare(shards, folder, first_parts, model),
    }


def _attempt(shards: Sequence[Path], folder: Path, model: str, limit: int | None) -> dict:
    """Run the command once; kill it in the part after ``limit`` finished parts."""
    sources = [str(shard) for shard in shards]
    command = [sys.executable, "-m", "emonet", "batch", *sources, "--out", str(folder)]
    start = time.perf_counter()
    load = os.getloadavg()[0]
    process = subprocess.Popen(
        [*command, "--model", model], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.append(process.stdout.read()))
    reader.start()
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _resident_mib(process.pid))
        if limit is not None and len(list(folder.glob("part-*.parquet"))) >= limit:
            time.sleep(SECONDS_BETWEEN_SAMPLES)  # so that the next part has begun
            process.send_signal(signal.SIGKILL)  # does nothing if it has just finished
            break
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    status = process.wait()
    reader.join()
    process.stdout.close()
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"emonet batch ended with status {status}: {output[0][-500:]}")
    return {
        "killed": status == -signal.SIGKILL,
        "seconds": time.perf_counter() - start,
        "peak_rss_mib": peak,
        "load_before": load,
        "output": output[0].strip(),
        "unfinished_files": sum(
            TEMPORARY.fullmatch(path.name) is not None for path in folder.iterdir()
        ),
    }


def _resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _finished(folder: Path, count: int) -> dict[int, int]:
    """Return when each finished part was written."""
    files = {number: part_file(folder, number) for number in range(count)}
    return {number: file.stat().st_mtime_ns for number, file in files.items() if file.exists()}


def _images(folder: Path, parts: Sequence[int]) -> int:
    return sum(read_counts(folder, number).images for number in parts)


def _check(shards: Sequence[Path], folder: Path) -> dict:
    """Compare the folder with the shards: each image once, in its own part."""
    import pyarrow.parquet as pq

    wrong, images, rows, with_rows = [], 0, 0, 0
    for number, shard in enumerate(shards):
        with tarfile.open(shard) as tar:
            names = {f"{shard}/{member.name}" for member in tar}
        table = pq.read_table(part_file(folder, number))
        counts = read_counts(folder, number)
        # A face is one row; an image with an error is one row.
        faces = Counter(table["path"].to_pylist())
        keys = set(zip(table["path"].to_pylist(), table["face"].to_pylist(), strict=True))
        whole = (
            counts.images == len(names)
            and len(table) == counts.faces + counts.failed == len(keys)
            and faces.keys() <= names
        )
        if not whole:
            wrong.append(number)
        images, rows, with_rows = images + len(names), rows + len(table), with_rows + len(faces)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.name
        not in {MANIFEST_FILE, *(part_file(folder, n).name for n in range(len(shards)))}
    )
    return {
        "images": images,
        "images_with_rows": with_rows,
        "rows": rows,
        "wrong_parts": wrong,
        "other_files": others,
        "manifest_counts": manifest["counts"],
    }


def _compare(shards: Sequence[Path], folder: Path, parts: Sequence[int], model: str) -> int:
    """Compute some parts again in one go; raise RuntimeError if their rows differ."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as again:
        run_batch([shards[number] for number in parts], again, model=model)
        for place, number in enumerate(parts):
            first = pq.read_table(part_file(folder, number)).to_pylist()
            second = pq.read_table(part_file(Path(again), place)).to_pylist()
            if not _equal(first, second):
                raise RuntimeError(f"part {number} differs from a run without interruption")
    return len(parts)


def _equal(first: Sequence[dict], second: Sequence[dict]) -> bool:
    return len(first) == len(second) and all(
        abs(one[key] - other[key]) <= TOLERANCE
        if isinstance(one[key], float) and isinstance(other[key], float)
        else one[key] == other[key]
        for one, other in zip(first, second, strict=True)
        for key in one
    )

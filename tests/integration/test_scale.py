"""The benchmarks of large jobs: made photos, interrupted runs, and the table of a job's cost."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from benchmarks.interrupted import interrupted_run
from benchmarks.many_photos import make_photos
from benchmarks.scale import scale_table
from PIL import Image

from emonet.errors import InputError

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "benchmarks" / "figures" / "steps.json"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, astronaut: Path) -> list[Path]:
    return make_photos(astronaut.parent, 12, tmp_path_factory.mktemp("shards"), shard_photos=4)


def photos(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_many_different_photos_are_made_from_one(shards: list[Path], astronaut: Path) -> None:
    made = {name: data for shard in shards for name, data in photos(shard).items()}
    assert sorted(made) == [f"{number:07d}.jpg" for number in range(12)]
    assert len({hashlib.sha256(data).digest() for data in made.values()}) == 12
    for data in made.values():
        image = Image.open(io.BytesIO(data))
        assert image.format == "JPEG"
        assert 200 <= image.width <= 320
        assert 200 <= image.height <= 240


def test_photos_can_be_made_again_and_finished_shards_stay(
    shards: list[Path], astronaut: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos-0001.tar").write_bytes(b"finished")
    again = make_photos(astronaut.parent, 12, tmp_path, shard_photos=4)
    same = [
        one.read_bytes() == other.read_bytes() for one, other in zip(shards, again, strict=True)
    ]
    assert same == [True, False, True]


@pytest.mark.slow
def test_an_interrupted_run_is_whole(shards: list[Path], tmp_path: Path) -> None:
    found = interrupted_run(shards, tmp_path / "out", model="tiny", kills=1)
    assert found["wrong_parts"] == []
    assert found["other_files"] == []
    assert found["images"] == found["manifest_counts"]["images"] == 12
    assert sum(attempt["images"] for attempt in found["attempts"]) == 12
    assert found["rows"] == found["manifest_counts"]["faces"]
    assert found["parts_compared"] >= 1


def measured(**cpu_ms: float) -> dict:
    steps = [
        {"step": step, "model": model, "cpu_ms": value, "photo_bytes": 100_000}
        for name, value in cpu_ms.items()
        for step, _, model in [name.partition("_")]
    ]
    return {"parts": {"steps": steps}}


def test_the_table_says_what_a_job_takes() -> None:
    results = measured(decode=10, detect=40, classify_tiny=25)
    (row,) = scale_table(results, photos=3_600_000, faces=2, cores=10).splitlines()[2:]
    # 100 ms a photo: 10 photos/s on a core, 100 core-hours; 10 cores read 10 MB/s.
    expected = ["`tiny`", "10", "100", "10 %", "40 %", "50 %", "0.417", "80 Mbit/s"]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [*expected, "2 times as fast"]


def test_a_table_without_measured_steps_is_refused() -> None:
    with pytest.raises(InputError, match="lacks the part 'steps'"):
        scale_table(measured(decode=1), photos=1, faces=1, cores=1)


def test_the_page_has_the_table_of_the_committed_figures() -> None:
    page = (ROOT / "docs" / "explanation" / "internet-scale.md").read_text()
    results = json.loads(FIGURES.read_text())
    assert scale_table(results, photos=10**9, faces=1, cores=64) in page

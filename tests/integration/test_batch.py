"""emonet batch: sources, parts, interruptions, and Ray."""

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emonet.batch import Counts, run_batch
from emonet.batch.parts import MAX_IMAGE_BYTES, ShardPart
from emonet.errors import ConfigError, ImageError, InputError
from emonet.plugin import usable_cores

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

#: Each image is one face, so that every image has exactly one row.
WHOLE = {"model": "tiny", "detector": "whole_image"}


def picture(number: int) -> bytes:
    """Return a PNG file whose content depends on the number."""
    noise = np.random.default_rng(number).integers(0, 256, (24, 24), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def write_photos(folder: Path, count: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(number))
    return [str(path) for path in paths]


def rows(folder: Path) -> list[dict]:
    files = sorted(folder.glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()


def without_rounding(table: list[dict]) -> list[dict]:
    """Round probabilities: other batches of faces may differ in the last digits."""
    return [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        for row in table
    ]


def test_a_folder_becomes_parts_with_one_row_per_face(tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "photos", 5)
    (tmp_path / "photos" / "0002.png").write_bytes(b"no image")
    counts = run_batch([tmp_path / "photos"], tmp_path / "out", part_size=2, **WHOLE)
    assert counts == Counts(images=5, faces=4, failed=1)
    assert [row["path"] for row in rows(tmp_path / "out")] == paths
    assert [row["error"] is None for row in rows(tmp_path / "out")] == [1, 1, 0, 1, 1]
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 3
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["counts"] == {"images": 5, "faces": 4, "failed": 1}
    assert manifest["source"]["parts"] == 3
    assert not list((tmp_path / "out").glob(".emonet-*"))


def test_rows_are_those_of_predict(tmp_path: Path, astronaut: Path) -> None:
    from emonet import EmotionRecognizer

    run_batch([astronaut], tmp_path / "out", model="tiny")
    (row,) = rows(tmp_path / "out")
    face = EmotionRecognizer.from_pretrained("tiny").predict(astronaut).faces[0]
    assert row["label"] == face.label
    assert row["x"] == face.box.x
    assert row["happiness"] == pytest.approx(face.probabilities["happiness"], abs=1e-5)


def test_an_image_without_a_face_counts_and_has_no_row(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 2)
    assert run_batch([tmp_path / "photos"], tmp_path / "out", model="tiny") == Counts(images=2)
    assert rows(tmp_path / "out") == []


def test_lists_tables_and_shards_give_the_same_faces_as_files(tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "photos", 5)
    run_batch(paths, tmp_path / "files", part_size=2, **WHOLE)
    expected = [row["happiness"] for row in rows(tmp_path / "files")]

    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(paths) + "\n")
    pq.write_table(pa.table({"path": paths}), tmp_path / "paths.parquet")
    images = [Path(path).read_bytes() for path in paths]
    pq.write_table(pa.table({"jpg": images}), tmp_path / "bytes.parquet", row_group_size=3)
    structs = [{"bytes": image, "path": f"{i}.png"} for i, image in enumerate(images)]
    pq.write_table(pa.table({"image": structs}), tmp_path / "datasets.parquet")
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for path in paths:
            shard.add(path, Path(path).name)
            shard.addfile(tarfile.TarInfo(Path(path).name + ".json"))
    for source in ("list.txt", "paths.parquet", "bytes.parquet", "datasets.parquet", "shard.tar"):
        out = tmp_path / f"out-{source}"
        counts = run_batch([tmp_path / source], out, part_size=2, **WHOLE)
        assert counts == Counts(images=5, faces=5), source
        assert [row["happiness"] for row in rows(out)] == pytest.approx(expected, abs=1e-5), source
    assert rows(tmp_path / "out-bytes.parquet")[4]["path"].endswith("bytes.parquet#4")
    assert rows(tmp_path / "out-shard.tar")[4]["path"].endswith("shard.tar/0004.png")


def test_a_cut_shard_gives_its_images_and_an_error(tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "photos", 6)
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for path in paths:
            shard.add(path, Path(path).name)
    data = (tmp_path / "shard.tar").read_bytes()
    (tmp_path / "shard.tar").write_bytes(data[: len(data) // 3])
    counts = run_batch([tmp_path / "shard.tar"], tmp_path / "out", **WHOLE)
    table = rows(tmp_path / "out")
    assert counts.failed >= 1
    assert counts.faces >= 1
    assert table[-1]["path"].endswith("shard.tar")
    assert "shard.tar is damaged" in table[-1]["error"]


def entry(name: str, kind: bytes, size: int, **fields: int) -> bytes:
    """Return the header of a tar entry; fields are numbers by the place where they stand."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    for place, number in fields.items():
        header[int(place[1:]) : int(place[1:]) + 12] = b"%011o\0" % number
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


#: Files of a few kB that say that they are large, or are what Python's tarfile does not expect.
SHARDS = {
    "sparse": (entry("a.png", b"S", 0, _483=100 * 2**20), "sparse"),
    "large": (entry("a.png", b"0", MAX_IMAGE_BYTES + 1), r"has 67108865 bytes.* may have 64 MiB"),
    "long name": (entry("a.png", b"L", 2**25) + bytes(2**25), "a header has 33554432 bytes"),
    "long fields": (entry("a.png", b"x", 2**25) + bytes(2**25), "a header has 33554432 bytes"),
    "number": (entry("a.png", b"x", 512) + b"30 GNU.sparse.size=%s\n" % (b"x" * 10), "damaged"),
    "nothing": (b"", "damaged"),
    "noise": (bytes(range(256)) * 8, "damaged"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_a_hostile_shard_gives_an_error_and_no_large_value(tmp_path: Path, case: str) -> None:
    data, message = SHARDS[case]
    file = tmp_path / "shard.tar.gz"
    file.write_bytes(gzip.compress(data))
    (name, image), *_ = ShardPart(str(file), file.stat().st_size).images()
    assert name.startswith(str(file))
    assert isinstance(image, ImageError)
    assert re.search(message, str(image)), image


def test_damaged_shards_raise_nothing(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3)
    file = tmp_path / "shard.tar"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(file, "w", format=form, pax_headers={"comment": "\u0451"}) as shard:
            for number, path in enumerate(sorted((tmp_path / "photos").iterdir())):
                shard.add(path, f"{'long' * 40 * number}/{path.name}")
        whole = file.read_bytes()
        choose = np.random.default_rng(form)
        for _ in range(200):
            damaged = np.frombuffer(whole, np.uint8).copy()
            places = choose.integers(0, len(damaged) // 512, 3) * 512 + choose.integers(0, 300, 3)
            damaged[places] = choose.integers(0, 256, 3)
            file.write_bytes(damaged)
            for _, image in ShardPart(str(file), len(damaged)).images():
                assert isinstance(image, bytes | ImageError)


def test_a_table_with_other_values_gives_errors(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [1, 2]}), tmp_path / "numbers.parquet")
    counts = run_batch([tmp_path / "numbers.parquet"], tmp_path / "out", **WHOLE)
    assert counts == Counts(images=2, failed=2)
    assert "no image bytes" in rows(tmp_path / "out")[0]["error"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("broken.parquet", b"no table", "broken.parquet is not a Parquet file"),
        ("missing.parquet", None, "Cannot read .*missing.parquet"),
        ("missing.txt", None, "Cannot read the list of paths .*missing.txt"),
        ("missing.tar", None, "Cannot read .*missing.tar"),
    ],
)
def test_a_source_that_is_not_what_it_says_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        run_batch([tmp_path / name], tmp_path / "out", **WHOLE)


def test_a_table_without_a_column_of_images_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"picture": [b""]}), tmp_path / "table.parquet")
    with pytest.raises(InputError, match=r"only \['picture'\]"):
        run_batch([tmp_path / "table.parquet"], tmp_path / "out", **WHOLE)
    counts = run_batch([tmp_path / "table.parquet"], tmp_path / "out", column="picture", **WHOLE)
    assert counts == Counts(images=1, failed=1)


def test_finished_parts_are_not_written_again(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 5)
    out = tmp_path / "out"
    run_batch([tmp_path / "photos"], out, part_size=2, **WHOLE)
    whole = rows(out)
    (out / "part-000001.parquet").unlink()
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("part-*")}
    counts = run_batch([tmp_path / "photos"], out, part_size=2, **WHOLE)
    assert counts == Counts(images=5, faces=5)
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert without_rounding(rows(out)) == without_rounding(whole)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": "fast"}, "model"),
        ({"min_score": 0.5}, "arguments"),
        ({"part_size": 3}, "arguments and source"),
    ],
)
def test_another_run_in_the_folder_is_refused(
    tmp_path: Path, change: dict[str, object], what: str
) -> None:
    write_photos(tmp_path / "photos", 4)
    run_batch([tmp_path / "photos"], tmp_path / "out", part_size=2, **WHOLE)
    with pytest.raises(ConfigError, match=f"holds a run with another {what}"):
        run_batch([tmp_path / "photos"], tmp_path / "out", **{"part_size": 2, **WHOLE, **change})


def test_a_changed_source_is_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 4)
    run_batch([tmp_path / "photos"], tmp_path / "out", **WHOLE)
    write_photos(tmp_path / "photos", 5)
    with pytest.raises(ConfigError, match="another source"):
        run_batch([tmp_path / "photos"], tmp_path / "out", **WHOLE)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 1)
    with pytest.raises(ConfigError, match=r"is not empty and has no manifest\.json"):
        run_batch([tmp_path / "photos"], tmp_path / "photos", **WHOLE)


def command(source: Path, out: Path, *options: str) -> list[str]:
    arguments = [str(source), "--out", str(out), "--part-size", "20", "--model", "tiny"]
    whole = ["--detector", "whole_image"]
    return [sys.executable, "-m", "emonet", "batch", *arguments, *whole, *options]


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    source, out = tmp_path / "photos", tmp_path / "out"
    write_photos(source, 600)
    for parts in (3, 8):
        process = subprocess.Popen(command(source, out), start_new_session=True)
        while process.poll() is None and len(list(out.glob("part-*"))) < parts:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = {file.name: file.stat().st_mtime_ns for file in out.glob("part-*")}
    assert 8 <= len(finished) < 30
    done = subprocess.run(command(source, out), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "600 images, 600 faces, 0 failed" in done.stdout
    assert {name: (out / name).stat().st_mtime_ns for name in finished} == finished
    assert not list(out.glob(".emonet-*"))
    run_batch([source], tmp_path / "at once", part_size=20, **WHOLE)
    assert without_rounding(rows(out)) == without_rounding(rows(tmp_path / "at once"))


def test_the_command_ends_with_status_1_after_a_failed_image(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 2)
    (tmp_path / "photos" / "0001.png").write_bytes(b"no image")
    done = subprocess.run(
        command(tmp_path / "photos", tmp_path / "out"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("2 images, 1 faces, 1 failed")


@pytest.fixture
def cluster():
    """A real cluster of three nodes on this machine, with a processor each."""
    pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "240")  # a busy machine is slow
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_rows_of_this_machine_although_a_node_dies(tmp_path: Path, cluster) -> None:
    made, nodes = cluster
    source = tmp_path / "photos"
    write_photos(source, 400)
    (source / "0007.png").write_bytes(b"no image")
    expected = run_batch([source], tmp_path / "local", part_size=20, **WHOLE)
    out = tmp_path / "ray"

    def kill() -> None:
        while len(list(out.glob("part-*"))) < 3:
            time.sleep(0.05)
        made.remove_node(nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    counts = run_batch([source], out, part_size=20, engine="ray", address=made.address, **WHOLE)
    killer.join()
    assert counts == expected == Counts(images=400, faces=399, failed=1)
    assert without_rounding(rows(out)) == without_rounding(rows(tmp_path / "local"))
    assert not list(out.glob(".emonet-*"))
    manifests = [
        json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("ray", "local")
    ]
    assert manifests[0] == manifests[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_face_table_fits_into_a_pipeline_of_ray_data(tmp_path: Path, cluster) -> None:
    import ray

    from emonet.ray import FaceTable

    paths = write_photos(tmp_path / "photos", 10)
    ray.init(address=cluster[0].address, log_to_driver=False)
    photos = ray.data.read_binary_files(str(tmp_path / "photos"), include_paths=True)
    settings = {"path_column": "path", **WHOLE}
    faces = photos.map_batches(
        FaceTable, fn_constructor_kwargs=settings, batch_size=4, concurrency=1
    )
    table = faces.to_pandas().sort_values("path")
    assert [Path(path).name for path in table["path"]] == [Path(path).name for path in paths]
    run_batch([tmp_path / "photos"], tmp_path / "out", **WHOLE)
    expected = [row["happiness"] for row in rows(tmp_path / "out")]
    assert table["happiness"].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_an_actor_uses_its_own_cores_only(cluster) -> None:
    import ray

    from emonet.ray import FaceTable

    class Threads(FaceTable):
        def __call__(self, batch):
            import cv2

            return {"emonet": [usable_cores()], "opencv": [cv2.getNumThreads()]}

    ray.init(address=cluster[0].address, log_to_driver=False)
    rows = ray.data.range(1).map_batches(
        Threads, fn_constructor_kwargs=WHOLE, concurrency=1, num_cpus=1
    )
    assert rows.take_all() == [{"emonet": 1, "opencv": 1}]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_without_a_gpu_is_refused(tmp_path: Path, cluster) -> None:
    write_photos(tmp_path / "photos", 1)
    settings = {"engine": "ray", "address": cluster[0].address, "device": "cuda"}
    with pytest.raises(ConfigError, match="the Ray cluster has no GPU"):
        run_batch([tmp_path / "photos"], tmp_path / "out", **WHOLE, **settings)

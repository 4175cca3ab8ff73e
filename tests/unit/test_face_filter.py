"""Data sets without the pictures that do not show exactly one face."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_faces, write_fer2013

from emonet import load_dataset
from emonet.data import FaceCounts, filter_faces
from emonet.errors import DataError
from emonet.labels import FER2013
from emonet.plugin import Box, Detection

SPLITS = {"Training": make_faces(3), "PublicTest": make_faces(1, seed=1)}


class ByBrightness:
    """Finds as many faces as the picture's top left pixel has tens."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.seen.append(image)
        return [Detection(Box(100, 100, 90, 90))] * (int(image[0, 0, 0]) // 10)


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """Of every class in Training: one picture without a face, one with one, one with three."""
    for split in SPLITS.values():
        # A whole corner: enlarging smooths single pixels.
        split.images[:, :8, :8] = 15
    training = SPLITS["Training"].images
    training[0::3, :8, :8], training[2::3, :8, :8] = 5, 35
    return write_fer2013(tmp_path / "fer2013.csv", SPLITS)


def test_only_pictures_of_one_face_are_kept(csv_file: Path, tmp_path: Path) -> None:
    before = csv_file.read_bytes()
    out = tmp_path / "out"
    ticks: list[None] = []
    report = filter_faces(csv_file, out, ByBrightness(), advance=lambda: ticks.append(None))
    assert csv_file.read_bytes() == before
    assert report.kept == 7 + 7
    assert report.counts["Training"] == {label: FaceCounts(1, 1, 1) for label in FER2013}
    assert report.counts["PublicTest"] == {label: FaceCounts(0, 1, 0) for label in FER2013}
    assert len(ticks) == 28
    assert [file.name for file in out.iterdir()] == ["fer2013.csv"]
    kept = load_dataset(out / "fer2013.csv", "Training")
    np.testing.assert_array_equal(kept.images, SPLITS["Training"].images[1::3])
    np.testing.assert_array_equal(kept.classes, np.arange(7))


def test_other_splits_can_be_left_as_they_are(csv_file: Path, tmp_path: Path) -> None:
    report = filter_faces(csv_file, tmp_path / "out", ByBrightness(), splits=["validation"])
    assert list(report.counts) == ["PublicTest"]
    assert report.kept == 28
    copied = load_dataset(tmp_path / "out" / "fer2013.csv", "Training")
    np.testing.assert_array_equal(copied.images, SPLITS["Training"].images)


def test_a_packed_file_stays_packed(csv_file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "fer2013.csv.gz"
    packed.write_bytes(gzip.compress(csv_file.read_bytes()))
    filter_faces(packed, tmp_path / "out", ByBrightness())
    with gzip.open(tmp_path / "out" / packed.name, "rt") as file:
        assert len(file.readlines()) == 1 + 14
    assert len(load_dataset(tmp_path / "out" / packed.name, "PublicTest")) == 7


def test_folders_keep_their_files_bit_for_bit(tmp_path: Path) -> None:
    data = tmp_path / "faces"
    for label, value in (("angry", 15), ("happy", 5)):
        for name in ("a.png", "b.png"):
            file = data / "train" / label / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((60, 50), value, np.uint8)).save(file)
    (data / "train" / "happy" / "broken.png").write_bytes(b"no image")
    report = filter_faces(data, tmp_path / "out", ByBrightness())
    assert report.to_dict() == {
        "counts": {
            "Training": {
                "anger": {"none": 0, "one": 2, "more": 0},
                "happiness": {"none": 2, "one": 0, "more": 0},
            }
        },
        "kept": 2,
        "unreadable": 1,
    }
    copies = sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert [str(p.relative_to(tmp_path / "out")) for p in copies] == [
        "faces/train/angry/a.png", "faces/train/angry/b.png",
    ]  # fmt: skip
    assert copies[0].read_bytes() == (data / "train" / "angry" / "a.png").read_bytes()


def test_a_detector_sees_pictures_large_enough_with_something_around_them(
    csv_file: Path, tmp_path: Path
) -> None:
    detector = ByBrightness()
    filter_faces(csv_file, tmp_path / "out", detector)
    assert {image.shape for image in detector.seen} == {(320, 320, 3)}


def test_a_stopped_filter_goes_on_from_what_it_had_found(
    csv_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emonet.data.face_filter.CHUNK_IMAGES", 10)

    class Stopped(ByBrightness):
        def detect(self, image: np.ndarray) -> list[Detection]:
            if len(self.seen) == 25:
                raise KeyboardInterrupt
            return super().detect(image)

    with pytest.raises(KeyboardInterrupt):
        filter_faces(csv_file, tmp_path / "out", Stopped(), cache=tmp_path / "found")
    second = ByBrightness()
    report = filter_faces(csv_file, tmp_path / "out", second, cache=tmp_path / "found")
    assert len(second.seen) == 28 - 20
    assert report == filter_faces(csv_file, tmp_path / "once", ByBrightness())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_filter_that_fails_leaves_nothing_behind(
    csv_file: Path, tmp_path: Path, kind: str
) -> None:
    class Failing:
        def detect(self, image: np.ndarray) -> list[Detection]:
            raise DataError("no more")

    data = csv_file
    if kind == "folder":
        data = tmp_path / "faces"
        (data / "angry").mkdir(parents=True)
        Image.fromarray(np.full((60, 50), 15, np.uint8)).save(data / "angry" / "a.png")
    with pytest.raises(DataError, match="no more"):
        filter_faces(data, tmp_path / "out", Failing())
    assert not any((tmp_path / "out").iterdir())


def test_a_copy_within_the_data_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "faces" / "happy"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="is inside the data set"):
        filter_faces(tmp_path / "faces", tmp_path / "faces" / "kept", ByBrightness())
    assert list((tmp_path / "faces").iterdir()) == [folder]


def test_what_is_there_is_not_overwritten(csv_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="already exists"):
        filter_faces(csv_file, tmp_path, ByBrightness())
    with pytest.raises(DataError, match="No data set"):
        filter_faces(tmp_path / "nothing.csv", tmp_path / "out", ByBrightness())
    with pytest.raises(DataError, match="Unknown split"):
        filter_faces(csv_file, tmp_path / "out", ByBrightness(), splits=["everything"])
    shutil.rmtree(tmp_path / "out", ignore_errors=True)

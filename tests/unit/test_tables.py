"""Tables of results: one schema for photos, videos and failures, in every library."""

import csv
import logging
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import emonet
from emonet.errors import ImageError, InputError, MissingDependencyError
from emonet.results import Box, Detection, Face, ImageResult, TrackedFace, VideoFrame
from emonet.tables import CsvWriter, ParquetWriter, columns, records, writers

LABELS = ("anger", "joy")
SHARES = {"anger": 0.25, "joy": 0.75}
DETECTION = Detection(Box(1.5, 2.5, 30, 40), score=1.25)
NAMES = [
    *("path", "frame", "seconds", "track", "face", "x", "y", "width", "height", "label", "score"),
    *("anger", "joy", "detection_score", "error"),
]


def face(label: str | None = "joy") -> Face:
    return Face(Box(1, 2, 30, 40), label, 0.75, SHARES, DETECTION)


def frame(index: int) -> VideoFrame:
    tracked = TrackedFace(
        box=Box(5, 6, 7, 8),
        label="anger",
        score=0.75,
        probabilities={"anger": 0.75, "joy": 0.25},
        detection=DETECTION,
        track=3,
        raw_probabilities=SHARES,
    )
    return VideoFrame(
        index=index, seconds=index / 10, width=100, height=80, faces=(tracked,), path="clip.mp4"
    )


PHOTO = ImageResult("a.jpg", 100, 80, (face(), face(None)))
EMPTY = ImageResult("b.jpg", 100, 80)
FAILED = ImageResult("c.jpg", 0, 0, error=ImageError("c.jpg is damaged"))
MIXED = (PHOTO, EMPTY, FAILED, frame(4))


def test_rows_have_one_schema_for_photos_frames_and_failures() -> None:
    rows = list(emonet.to_records(iter(MIXED), labels=LABELS))
    assert list(columns(LABELS)) == NAMES
    assert [list(row) for row in rows] == [NAMES] * 4
    box = {"x": 1, "y": 2, "width": 30, "height": 40}
    shared = {"score": 0.75, **SHARES, "detection_score": 1.25}
    nothing = dict.fromkeys(NAMES)
    assert rows[0] == {**nothing, "path": "a.jpg", "face": 0, **box, "label": "joy", **shared}
    assert rows[1] == {**nothing, "path": "a.jpg", "face": 1, **box, **shared}
    assert rows[2] == {**nothing, "path": "c.jpg", "error": "c.jpg is damaged"}
    place = {"path": "clip.mp4", "frame": 4, "seconds": 0.4, "track": 3, "face": 0}
    assert rows[3].items() >= place.items()
    assert (rows[3]["label"], rows[3]["anger"], rows[3]["x"]) == ("anger", 0.75, 5)


def test_one_result_is_enough_and_rows_come_as_they_are_taken() -> None:
    assert len(list(emonet.to_records(PHOTO))) == 2

    def stream():
        yield PHOTO
        raise AssertionError("read ahead")

    rows = emonet.to_records(stream())
    assert (next(rows)["face"], next(rows)["face"]) == (0, 1)


def test_what_no_table_can_hold_is_refused() -> None:
    with pytest.raises(InputError, match="a str"):
        list(emonet.to_records(["a.jpg"]))
    with pytest.raises(InputError, match="'error' has the name of a table's column"):
        columns(("joy", "error"))
    with pytest.raises(InputError, match="has the class 'anger'"):
        list(emonet.to_records(PHOTO, labels=("joy",)))


def test_the_tables_of_all_libraries_are_alike() -> None:
    rows = list(emonet.to_records(MIXED, labels=LABELS))
    assert emonet.to_arrow(MIXED).to_pylist() == rows
    assert emonet.to_polars(MIXED).to_dicts() == rows
    frame = emonet.to_pandas(MIXED)
    assert list(frame) == NAMES
    plain = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert plain == rows


@pytest.mark.parametrize("results", [[], [EMPTY], [FAILED], [PHOTO], [frame(0)]])
def test_types_do_not_depend_on_the_rows(results) -> None:
    kinds = columns(LABELS)
    frame = emonet.to_pandas(results, labels=LABELS)
    arrow = emonet.to_arrow(results, labels=LABELS)
    polars = emonet.to_polars(results, labels=LABELS)
    types = {
        "text": ("string", pa.string(), pl.String),
        "integer": ("Int64", pa.int64(), pl.Int64),
        "number": ("float64", pa.float64(), pl.Float64),
    }
    for name, kind in kinds.items():
        found = (str(frame[name].dtype), arrow.schema.field(name).type, polars.schema[name])
        assert found == types[kind], name


def test_parts_can_be_concatenated() -> None:
    parts = [[PHOTO], [FAILED], [frame(1)], []]
    frames = [emonet.to_pandas(part, labels=LABELS) for part in parts]
    whole = emonet.to_pandas([PHOTO, FAILED, frame(1)], labels=LABELS)
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), whole)
    polars = pl.concat([emonet.to_polars(part, labels=LABELS) for part in parts])
    assert len(polars) == 4
    arrow = pa.concat_tables([emonet.to_arrow(part, labels=LABELS) for part in parts])
    assert len(arrow) == 4


def test_results_of_several_models_have_the_classes_of_all() -> None:
    other = Face(Box(0, 0, 5, 5), "calm", 1.0, {"calm": 1.0}, DETECTION)
    table = emonet.to_pandas([PHOTO, ImageResult("d.jpg", 9, 9, (other,))])
    assert list(table)[-5:] == ["anger", "joy", "calm", "detection_score", "error"]
    assert table["calm"].tolist()[-1] == 1.0
    assert table["calm"].isna().sum() == 2


@pytest.mark.parametrize(
    ("package", "convert", "command"),
    [
        ("pandas", emonet.to_pandas, "pip install pandas"),
        ("polars", emonet.to_polars, "pip install polars"),
        ("pyarrow", emonet.to_arrow, r"pip install 'emonet\[tables\]'"),
    ],
)
def test_a_missing_library_is_said_with_the_command(monkeypatch, package, convert, command) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=command):
        convert(PHOTO)


def test_csv_rows_are_in_the_file_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    with CsvWriter(path, LABELS) as table:
        assert path.read_text() == ",".join(NAMES) + "\n"
        for count, result in enumerate([PHOTO, FAILED], 1):
            table.write(result)
            assert len(path.read_text().splitlines()) == (3, 4)[count - 1]
        table.write([EMPTY, frame(4)])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["label"] == "joy"
    assert rows[1]["label"] == ""
    assert float(rows[3]["seconds"]) == 0.4
    read = pd.read_csv(path, dtype=emonet.to_pandas(MIXED).dtypes.to_dict())
    pd.testing.assert_frame_equal(read, emonet.to_pandas(MIXED))


def test_parquet_appears_whole_and_in_groups(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(writers, "GROUP_ROWS", 3)
    path = tmp_path / "faces.parquet"
    path.write_text("an earlier file")
    with ParquetWriter(path, LABELS) as table:
        for result in MIXED:
            table.write(result)
        assert path.read_text() == "an earlier file"
    assert pq.read_table(path) == emonet.to_arrow(MIXED, labels=LABELS)
    assert pq.ParquetFile(path).num_row_groups == 2
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_keeps_the_rows_and_an_error_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "faces.parquet"

    def stopped(results, stop: type[BaseException]) -> None:
        with ParquetWriter(path, LABELS) as table:
            table.write(results)
            raise stop

    for results, stop, rows in (
        ([PHOTO], KeyboardInterrupt, 2),
        ([FAILED], ValueError, 2),
        ([PHOTO, FAILED], SystemExit, 3),
    ):
        with pytest.raises(stop):
            stopped(results, stop)
        assert len(pq.read_table(path)) == rows
        assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="nowhere"), ParquetWriter(tmp_path / "nowhere" / "a", LABELS):
        pass


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    with ParquetWriter(tmp_path / "empty.parquet", LABELS):
        pass
    assert pq.read_table(tmp_path / "empty.parquet").column_names == NAMES


def test_a_name_that_is_no_text_is_escaped_and_told_once(tmp_path: Path, caplog) -> None:
    records._report_escaped.cache_clear()
    name = ImageResult("caf\udce9.jpg", 100, 80, (face(),))
    with caplog.at_level(logging.WARNING, "emonet"), CsvWriter(tmp_path / "a", LABELS) as table:
        table.write([name, name])
    assert (tmp_path / "a").read_text().count("caf\\udce9.jpg") == 2
    assert len(caplog.records) == 1
    assert emonet.to_arrow(name)["path"][0].as_py() == "caf\\udce9.jpg"

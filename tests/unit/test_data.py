"""FER-2013's file, the FER+ votes for it and folders of images become one kind of data set."""

import gzip
import logging
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import make_faces, write_fer2013, write_votes

from emonet import FaceDataset, load_dataset
from emonet.data import as_dataset
from emonet.errors import ConfigError, DataError
from emonet.labels import FER2013, FERPLUS
from emonet.training.record import data_digest

PIXELS = " ".join(["7"] * 48 * 48)
HEADER = "emotion,pixels,Usage"


def row(emotion="0", pixels=PIXELS, usage="Training"):
    return f"{emotion},{pixels},{usage}"


def write_lines(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_images(root, counts, size=(20, 16)):
    """Write so many small grey PNG files into each of these folders."""
    from PIL import Image

    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            Image.new("L", size, 10 * index).save(root / folder / f"{index}.png")
    return root


SPLITS = {"Training": 0, "PublicTest": 1, "PrivateTest": 2}


@pytest.fixture(scope="module")
def small_csv(tmp_path_factory):
    """FER-2013's form with two faces of every class in each split, drawn from its own seed."""
    path = tmp_path_factory.mktemp("data") / "fer2013.csv"
    return write_fer2013(path, {usage: make_faces(2, seed=seed) for usage, seed in SPLITS.items()})


@pytest.mark.parametrize(
    ("usage", "names"),
    [
        ("Training", ["Training", "train", "training", "TRAIN"]),
        ("PublicTest", ["PublicTest", "validation", "valid", "val", "publictest"]),
        ("PrivateTest", ["PrivateTest", "test", "privatetest", "Test"]),
    ],
)
def test_split_is_read_under_each_of_its_names(usage, names, small_csv):
    expected = make_faces(2, seed=SPLITS[usage])
    for name in names:
        dataset = load_dataset(small_csv, name)
        np.testing.assert_array_equal(dataset.images, expected.images)
        np.testing.assert_array_equal(dataset.classes, expected.classes)
    assert dataset.labels == FER2013
    assert dataset.votes is None
    assert (dataset.images.dtype, dataset.classes.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("form", [str, lambda path: path], ids=["str", "path"])
def test_training_split_is_the_default(form, small_csv):
    faces = make_faces(2, seed=SPLITS["Training"]).images
    np.testing.assert_array_equal(load_dataset(form(small_csv)).images, faces)


def test_gzipped_file_is_read_like_the_plain_one(small_csv, tmp_path):
    zipped = tmp_path / "fer2013.csv.gz"
    zipped.write_bytes(gzip.compress(small_csv.read_bytes(), 1))
    plain, unzipped = (load_dataset(path, "test") for path in (small_csv, zipped))
    np.testing.assert_array_equal(unzipped.images, plain.images)
    np.testing.assert_array_equal(unzipped.classes, plain.classes)


@pytest.mark.parametrize("header", ["Usage,id,emotion,pixels", "Usage, id, emotion, pixels"])
def test_columns_may_come_in_another_order_and_with_others(header, tmp_path):
    path = write_lines(tmp_path / "a.csv", header, f"Training,9,3,{PIXELS}")
    dataset = load_dataset(path)
    assert dataset.classes.tolist() == [3]
    assert (dataset.images == 7).all()


def test_pixels_are_read_row_by_row(tmp_path):
    pixels = " ".join(str(value % 256) for value in range(48 * 48))
    (image,) = load_dataset(write_lines(tmp_path / "a.csv", HEADER, row(pixels=pixels))).images
    assert image[0, :3].tolist() == [0, 1, 2]
    assert image[1, :3].tolist() == [48, 49, 50]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (row(pixels=PIXELS[:-2]), "expected 2304 pixels, got 2303"),
        (row(pixels=PIXELS + " 7"), "expected 2304 pixels, got 2305"),
        (row(pixels=""), "expected 2304 pixels, got 0"),
        (row(pixels="x" + PIXELS[1:]), "pixels must be numbers.*'x'"),
        (row(pixels="7.5" + PIXELS[1:]), "pixels must be numbers.*'7.5'"),
        (row(pixels="nan" + PIXELS[1:]), "pixels must be numbers.*'nan'"),
        (row(pixels="256" + PIXELS[1:]), r"pixels must be 0\.\.255"),
        (row(pixels="-1" + PIXELS[1:]), r"pixels must be 0\.\.255"),
        (row(pixels="9" * 30 + PIXELS[1:]), r"pixels must be 0\.\.255"),
        (row(emotion="7"), "unknown emotion '7'"),
        (row(emotion="-1"), "unknown emotion '-1'"),
        (row(emotion="happy"), "unknown emotion 'happy'"),
        (row(emotion=""), "unknown emotion ''"),
        (row(usage="Holiday"), "unknown Usage 'Holiday'"),
        (row(usage=""), "unknown Usage ''"),
        ("0," + PIXELS, "the row is too short"),
        ("0", "the row is too short"),
        (row() + ",1", "the row is too long"),
    ],
    ids=lambda value: "" if PIXELS[4:99] in value else value,
)
def test_malformed_row_is_a_data_error_with_file_and_line(line, message, tmp_path):
    path = write_lines(tmp_path / "bad.csv", HEADER, row(), line, row())
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}, line 3: .*{message}"):
        load_dataset(path)


def test_row_of_another_split_with_an_unknown_usage_is_still_found(tmp_path):
    path = write_lines(tmp_path / "bad.csv", HEADER, row(usage="PublicTest"), row(usage="X"))
    with pytest.raises(DataError, match="line 3: unknown Usage 'X'"):
        load_dataset(path, "validation")


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("emotion,pixels", "Usage"),
        ("label,pixels,Usage", "emotion"),
        ("a,b,c", "emotion, pixels, Usage"),
        ("", "emotion, pixels, Usage"),
    ],
)
def test_missing_columns_are_named(header, missing, tmp_path):
    path = write_lines(tmp_path / "bad.csv", header, row())
    with pytest.raises(DataError, match=rf"bad\.csv, line 1: no column {missing}; found"):
        load_dataset(path)


def test_empty_file_is_a_data_error(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match=r"empty\.csv, line 1: no column"):
        load_dataset(tmp_path / "empty.csv")


def test_split_without_rows_is_a_data_error(tmp_path):
    path = write_lines(tmp_path / "a.csv", HEADER, row())
    with pytest.raises(DataError, match=r"a\.csv has no row with Usage PrivateTest"):
        load_dataset(path, "test")


@pytest.mark.parametrize("split", ["dev", "", "Trainning"])
def test_unknown_split_names_the_known_ones(split, tmp_path):
    path = write_lines(tmp_path / "a.csv", HEADER, row())
    with pytest.raises(DataError, match=f"Unknown split '{split}': expected Training, Public"):
        load_dataset(path, split)


def noisy_gzip(path):
    """Write a gzipped file that does not compress to next to nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 48 * 48))
    lines = [HEADER, *(row(pixels=" ".join(map(str, face))) for face in pixels)]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return path


def test_truncated_gzip_is_a_data_error(tmp_path):
    path = noisy_gzip(tmp_path / "cut.csv.gz")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"cut\.csv\.gz can't be read as CSV"):
        load_dataset(path)


@pytest.mark.parametrize("place", [3000, 10_000, -6])
def test_damaged_gzip_is_a_data_error(place, tmp_path):
    path = noisy_gzip(tmp_path / "bad.csv.gz")
    data = bytearray(path.read_bytes())
    for offset in range(4):
        data[place + offset] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"bad\.csv\.gz"):
        load_dataset(path)


@pytest.mark.parametrize("name", ["not_zipped.csv.gz", "binary.csv"])
def test_file_of_another_kind_is_a_data_error(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(DataError, match=name):
        load_dataset(tmp_path / name)


def test_nothing_at_the_path_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"No data set at .*nowhere\.csv"):
        load_dataset(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_memory_goes_with_the_images_kept_and_not_with_the_file(zipped, tmp_path):
    wanted, unwanted = row(usage="PublicTest"), row(pixels=PIXELS.replace("7", "123"))
    text = "\n".join([HEADER, *[unwanted] * 2400, *[wanted] * 100, ""]).encode()
    path = tmp_path / ("big.csv.gz" if zipped else "big.csv")
    path.write_bytes(gzip.compress(text, 1) if zipped else text)
    size = len(text)
    del text
    tracemalloc.start()
    dataset = load_dataset(path, "validation")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset) == 100
    assert peak < 4 * dataset.images.nbytes < size / 16


TWO_SPLITS = ("Training", "PublicTest")


def two_splits(tmp_path, classes):
    """Write a file whose rows alternate between two splits, each with these classes."""
    usages = [*TWO_SPLITS] * len(classes)
    emotions = [emotion for emotion in classes for _ in range(2)]
    return write_lines(
        tmp_path / "fer2013.csv",
        HEADER,
        *(row(emotion, usage=usage) for emotion, usage in zip(emotions, usages, strict=True)),
    )


def test_votes_become_soft_labels_in_fer2013s_order(tmp_path):
    path = two_splits(tmp_path, [0])
    counts = {"neutral": 1, "happiness": 2, "anger": 5}
    votes = write_votes(tmp_path / "fer2013new.csv", [counts, {"fear": 10}], TWO_SPLITS)
    dataset = load_dataset(path, ferplus=votes)
    expected = [0.625, 0, 0, 0.25, 0, 0, 0.125]  # anger, ..., happiness, ..., neutral
    np.testing.assert_allclose(dataset.votes, [expected])
    assert dataset.votes.dtype == np.float32
    assert dataset.targets is dataset.votes
    assert dataset.classes.tolist() == [0]


def test_votes_share_the_targets_with_the_label(tmp_path):
    path = two_splits(tmp_path, [0])
    votes = write_votes(tmp_path / "votes.csv", [{"anger": 5, "fear": 5}, {"fear": 10}], TWO_SPLITS)
    dataset = load_dataset(path, ferplus=votes, ferplus_weight=np.float64(0.25))
    np.testing.assert_array_equal(dataset.targets, [[0.875, 0, 0.125, 0, 0, 0, 0]])
    assert dataset.targets.dtype == np.float32
    labels_alone = load_dataset(path, ferplus=votes, ferplus_weight=0)
    np.testing.assert_array_equal(labels_alone.targets, np.eye(7)[[0]])


@pytest.mark.parametrize("share", [-0.1, 1.1, True, "half"])
def test_a_share_of_votes_that_is_none_is_refused(share, small_csv):
    with pytest.raises(ConfigError, match=r"ferplus_weight must be a number in 0\.\.1, got"):
        load_dataset(small_csv, ferplus_weight=share)


def test_a_share_of_no_votes_is_refused(small_csv):
    with pytest.raises(ConfigError, match=r"ferplus_weight=0\.3 needs votes"):
        load_dataset(small_csv, ferplus_weight=0.3)


@pytest.mark.parametrize("votes", [[7.0, 3.0], [np.nan, 1.0], [-0.5, 1.5]])
def test_votes_that_are_no_shares_are_refused(votes):
    images = np.zeros((1, 48, 48), np.uint8)
    with pytest.raises(DataError, match="votes must be 0 or more"):
        FaceDataset(images, np.array([0]), ("a", "b"), np.array([votes], np.float32))


def test_a_face_size_of_one_number_is_refused(small_csv):
    with pytest.raises(ConfigError, match=r"face_size must be \[height, width\], got 48"):
        load_dataset(small_csv, face_size=48)


def test_votes_belong_to_the_row_of_their_split(tmp_path):
    path = two_splits(tmp_path, [0, 1, 2])
    training, public = ("anger", "disgust", "fear"), ("happiness", "sadness", "surprise")
    order = [name for pair in zip(training, public, strict=True) for name in pair]
    votes = write_votes(tmp_path / "votes.csv", [{name: 10} for name in order], TWO_SPLITS)
    for split, names in (("train", training), ("validation", public)):
        found = load_dataset(path, split, ferplus=votes).votes.argmax(axis=1)
        assert [FER2013[kind] for kind in found] == list(names)


def test_blank_lines_do_not_shift_the_votes(tmp_path):
    path = write_lines(tmp_path / "a.csv", HEADER, row("0"), "", row("1"), "", row("2"))
    names = ["happiness", "sadness", "surprise"]
    votes = write_votes(tmp_path / "votes.csv", [{name: 10} for name in names])
    found = load_dataset(path, ferplus=votes).votes.argmax(axis=1)
    assert [FER2013[kind] for kind in found] == names


def test_votes_for_other_classes_do_not_count(tmp_path):
    path = write_lines(tmp_path / "a.csv", HEADER, row("4"))
    counts = {"contempt": 6, "unknown": 2, "NF": 1, "sadness": 1, "fear": 1}
    (votes,) = load_dataset(path, ferplus=write_votes(tmp_path / "v.csv", [counts])).votes
    assert votes[FER2013.index("sadness")] == votes[FER2013.index("fear")] == 0.5


@pytest.mark.parametrize("column", ["contempt", "unknown", "NF"])
def test_face_without_a_vote_for_the_seven_keeps_its_label(column, tmp_path):
    path = write_lines(tmp_path / "a.csv", HEADER, row("2"), row("5"))
    votes = write_votes(tmp_path / "v.csv", [{column: 10}, {"anger": 10}])
    dataset = load_dataset(path, ferplus=votes)
    np.testing.assert_array_equal(dataset.votes, np.eye(7)[[2, 0]])


@pytest.mark.parametrize("count", [2, 4])
def test_votes_for_another_number_of_faces_are_not_this_data_sets(count, tmp_path):
    """As after filter-faces, which leaves faces out: all others would get a neighbour's votes."""
    path = write_lines(tmp_path / "a.csv", HEADER, row(), row(), row())
    votes = write_votes(tmp_path / "v.csv", [{"anger": 10}] * count)
    message = rf"v\.csv has votes for {count} faces of Training, but the data set has 3"
    with pytest.raises(DataError, match=message):
        load_dataset(path, ferplus=votes)


@pytest.mark.parametrize("count", ["many", "", "1.5", "-3"])
def test_vote_that_is_no_count_is_a_data_error_with_file_and_line(count, tmp_path):
    path = write_lines(tmp_path / "a.csv", HEADER, row(), row())
    votes = write_votes(tmp_path / "v.csv", [{"anger": 10}, {"anger": 10, "fear": count}])
    with pytest.raises(DataError, match=rf"{re.escape(str(votes))}, line 3: "):
        load_dataset(path, ferplus=votes)


def test_file_without_vote_columns_is_a_data_error(small_csv):
    with pytest.raises(DataError, match=r"fer2013\.csv, line 1: no column anger, disgust"):
        load_dataset(small_csv, ferplus=small_csv)


def test_missing_votes_are_a_data_error(small_csv, tmp_path):
    with pytest.raises(DataError, match=r"No FER\+ votes at .*nowhere\.csv"):
        load_dataset(small_csv, ferplus=tmp_path / "nowhere.csv")


def test_votes_do_not_go_with_a_folder(tmp_path):
    write_images(tmp_path, {"train/angry": 1, "train/happy": 1})
    with pytest.raises(DataError, match="got the folder"):
        load_dataset(tmp_path, ferplus=tmp_path / "votes.csv")


KAGGLE_FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "Training"),
        ("Training", "train"),
        ("validation", "PublicTest"),
        ("val", "validation"),
        ("PublicTest", "valid"),
        ("test", "PrivateTest"),
        ("privatetest", "test"),
    ],
)
def test_folder_of_a_split_is_found_under_each_of_its_names(folder, split, tmp_path):
    write_images(tmp_path, {f"{folder}/{name}": 1 for name in KAGGLE_FOLDERS})
    dataset = load_dataset(tmp_path, split)
    assert dataset.labels == FER2013
    assert sorted(dataset.classes.tolist()) == list(range(7))


def test_images_get_the_class_of_their_folder(tmp_path):
    counts = dict(zip(KAGGLE_FOLDERS, (1, 2, 3, 4, 5, 6, 7), strict=True))
    write_images(tmp_path, {f"train/{name}": count for name, count in counts.items()})
    dataset = load_dataset(tmp_path)
    assert np.bincount(dataset.classes).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert (dataset.images.shape, dataset.images.dtype) == ((28, 48, 48), np.uint8)
    # Image i of each folder has the grey value 10 * i.
    values = dataset.images[dataset.classes == 6][:, 20, 20]
    assert sorted(values.tolist()) == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize(
    "names",
    [
        ("Anger", "DISGUST", "fear", "Happiness", "Sadness", "Surprise", "Neutral"),
        ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral"),
        ("angry", "disgust", "afraid", "joy", "sad", "surprise", "neutral"),
    ],
)
def test_other_spellings_of_the_seven_classes_are_understood(names, tmp_path):
    write_images(tmp_path, dict.fromkeys(names, 1))
    assert load_dataset(tmp_path).labels == FER2013


def test_eight_classes_are_those_of_ferplus(tmp_path):
    write_images(tmp_path, dict.fromkeys((*KAGGLE_FOLDERS, "contempt"), 1))
    assert load_dataset(tmp_path).labels == FERPLUS


def test_two_folders_of_one_class_are_put_together(tmp_path):
    write_images(tmp_path, {**dict.fromkeys(KAGGLE_FOLDERS, 1), "anger": 2})
    dataset = load_dataset(tmp_path)
    assert dataset.labels == FER2013
    assert (dataset.classes == 0).sum() == 3


def test_any_class_names_make_a_label_set_sorted(tmp_path):
    write_images(tmp_path, {"train/Tired": 1, "train/awake": 2, "train/Bored": 3})
    dataset = load_dataset(tmp_path)
    assert dataset.labels == ("Bored", "Tired", "awake")
    assert dataset.classes.tolist() == [0, 0, 0, 1, 2, 2]


def test_folder_without_splits_is_a_training_set(tmp_path):
    write_images(tmp_path, {"awake": 2, "tired": 1})
    assert len(load_dataset(tmp_path)) == 3
    with pytest.raises(DataError, match="not divided into splits, so it has no test"):
        load_dataset(tmp_path, "test")


def test_missing_split_folder_names_those_there_are(tmp_path):
    write_images(tmp_path, {"train/awake": 1, "train/tired": 1})
    with pytest.raises(DataError, match=r"no folder for the split validation; it has \['train'\]"):
        load_dataset(tmp_path, "validation")


def test_images_are_resized_to_the_size_asked_for(tmp_path):
    write_images(tmp_path, {"awake": 1, "tired": 1})
    assert load_dataset(tmp_path, face_size=(32, 24)).images.shape == (2, 32, 24)


def test_class_folder_without_images_is_a_data_error(tmp_path):
    write_images(tmp_path, {"train/awake": 1, "train/tired": 0})
    (tmp_path / "train" / "tired" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match=r"class folder .*tired has no images"):
        load_dataset(tmp_path)


def test_folder_without_class_folders_is_a_data_error(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="train has no class folders"):
        load_dataset(tmp_path)


def test_unreadable_image_is_left_out_and_logged(tmp_path, caplog):
    write_images(tmp_path, {"awake": 2, "tired": 1})
    (tmp_path / "awake" / "broken.jpg").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING, logger="emonet"):
        dataset = load_dataset(tmp_path)
    assert dataset.classes.tolist() == [0, 0, 1]
    assert "broken.jpg" in caplog.text


def test_folder_of_unreadable_images_is_a_data_error(tmp_path):
    for name in ("awake", "tired"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"No image below .* could be read"):
        load_dataset(tmp_path)


def test_missing_classes_are_named(tmp_path):
    path = write_lines(tmp_path / "a.csv", HEADER, *(row(kind) for kind in "02346"))
    with pytest.raises(DataError, match="No face of class disgust, surprise"):
        load_dataset(path).require_every_class()


def test_complete_set_has_every_class(small_csv):
    load_dataset(small_csv).require_every_class()


def unbalanced():
    counts = (40, 10, 20, 30, 50, 20, 30)
    classes = np.repeat(np.arange(7), counts)
    images = np.arange(200, dtype=np.uint8)[:, np.newaxis, np.newaxis]
    return FaceDataset(np.tile(images, (1, 8, 8)), classes, FER2013, np.eye(7)[classes])


def test_held_out_part_has_each_class_in_proportion():
    rest, held = unbalanced().hold_out(0.1)
    assert np.bincount(held.classes).tolist() == [4, 1, 2, 3, 5, 2, 3]
    assert np.bincount(rest.classes).tolist() == [36, 9, 18, 27, 45, 18, 27]


def test_every_face_is_in_one_part_with_its_own_class_and_votes():
    whole = unbalanced()
    parts = whole.hold_out(0.25)
    indices = [part.images[:, 0, 0] for part in parts]
    assert sorted(np.concatenate(indices).tolist()) == list(range(200))
    for part, rows in zip(parts, indices, strict=True):
        np.testing.assert_array_equal(part.classes, whole.classes[rows])
        np.testing.assert_array_equal(part.votes, whole.votes[rows])


def test_hold_out_follows_from_the_seed():
    def held(seed):
        return unbalanced().hold_out(0.1, seed=seed)[1].images[:, 0, 0].tolist()

    assert held(3) == held(3)
    assert held(3) != held(4)


def of_classes(*counts):
    classes = np.repeat(np.arange(len(counts)), counts)
    return FaceDataset(np.zeros((len(classes), 8, 8), np.uint8), classes, FER2013[: len(counts)])


def test_only_face_of_a_class_stays_in_the_rest():
    rest, held = of_classes(1, 4, 4).hold_out(0.5)
    assert np.bincount(rest.classes).tolist() == [1, 2, 2]
    assert np.bincount(held.classes).tolist() == [0, 2, 2]


def test_small_set_gives_a_face_of_each_class():
    # A tenth of them would be two faces for five classes.
    rest, held = of_classes(4, 4, 4, 4, 4).hold_out(0.1)
    assert np.bincount(held.classes).tolist() == [1] * 5
    assert len(rest) == 15


@pytest.mark.parametrize("counts", [(1000, 2), (100, 2, 2, 2), (1, 50, 2)])
def test_small_classes_have_a_face_held_out_too(counts):
    rest, held = of_classes(*counts).hold_out(0.1)
    several = np.array(counts) > 1
    assert ((np.bincount(held.classes, minlength=len(counts)) >= 1) == several).all()
    assert (np.bincount(rest.classes) >= 1).all()
    assert len(rest) + len(held) == sum(counts)


def test_classes_and_votes_get_their_types():
    images = np.zeros((2, 8, 8), np.uint8)
    small = FaceDataset(images, np.array([0, 1], np.uint8), ("a", "b"), [[1, 0], [0, 1]])
    assert (small.classes.dtype, small.targets.dtype) == (np.int64, np.float32)
    large = FaceDataset(images, np.array([0, 1], np.uint64), ("a", "b"), np.eye(2))
    assert data_digest(small) == data_digest(large)


@pytest.mark.parametrize("counts", [(), (1, 1, 1)])
def test_what_can_not_be_divided_is_refused(counts):
    with pytest.raises(DataError, match=r"Cannot hold out .*: add faces, at least two per class"):
        of_classes(*counts).hold_out(0.5)


def test_pictures_that_were_shrunk_are_refused_where_more_pixels_are_needed(tmp_path):
    write_images(tmp_path, {"train/happy": 2, "train/sad": 2}, size=(60, 50))
    small, large = (load_dataset(tmp_path, face_size=(size, size)) for size in (48, 60))
    assert (small.downscaled, large.downscaled) == (True, False)
    for faces in (
        small,
        small.subset(np.array([0])),
        small.with_labels(("sadness", "x", "happiness")),
    ):
        with pytest.raises(DataError, match=r"load_dataset\(\.\.\., face_size=\(60, 60\)\)"):
            as_dataset(faces, labels=faces.labels, face_size=(60, 60), exactly=False)
    enlarged = replace(small, downscaled=False)
    for faces, size in ((large, (48, 48)), (small, (48, 48)), (enlarged, (60, 60))):
        assert as_dataset(faces, labels=faces.labels, face_size=size, exactly=False) is faces


def test_classes_may_be_a_list():
    dataset = FaceDataset(np.zeros((2, 8, 8), np.uint8), [0, 1], ["a", "b"])
    assert (dataset.classes.dtype, dataset.labels) == (np.int64, ("a", "b"))


def test_a_label_that_comes_twice_is_refused():
    with pytest.raises(DataError, match="labels must be unique, got a, a"):
        FaceDataset(np.zeros((1, 8, 8), np.uint8), np.array([0]), ("a", "a"))


def test_files_that_hide_and_folders_are_no_images(tmp_path):
    write_images(tmp_path, {"train/happy": 2})
    (tmp_path / "train" / "happy" / "._0.png").write_bytes(b"what macOS leaves")
    (tmp_path / "train" / "happy" / "more.png").mkdir()
    assert len(load_dataset(tmp_path)) == 2


def test_one_hot_targets_where_there_are_no_votes():
    dataset = FaceDataset(np.zeros((3, 8, 8), np.uint8), np.array([2, 0, 1]), ("a", "b", "c"))
    np.testing.assert_array_equal(dataset.targets, np.eye(3)[[2, 0, 1]])
    assert dataset.targets.dtype == np.float32


IMAGES = np.zeros((2, 8, 8), np.uint8)
CLASSES = np.array([0, 1])


@pytest.mark.parametrize(
    ("images", "classes", "votes", "received"),
    [
        (IMAGES.astype(np.float32), CLASSES, None, r"float32 \(2, 8, 8\)"),
        (IMAGES[0], CLASSES, None, r"\(8, 8\)"),
        (IMAGES[..., np.newaxis], CLASSES, None, r"\(2, 8, 8, 1\)"),
        (IMAGES, np.array([0]), None, r"\(1,\)"),
        (IMAGES, np.array([[0, 1]]), None, r"\(1, 2\)"),
        (IMAGES, np.array([0, 2]), None, r"0\.\.2"),
        (IMAGES, np.array([-1, 0]), None, r"-1\.\.0"),
        (IMAGES, np.array([0.5, 1.0]), None, "float64"),
        (IMAGES, CLASSES, np.full((3, 2), 0.5, np.float32), r"\(3, 2\)"),
        (IMAGES, CLASSES, np.full((2, 3), 1 / 3, np.float32), r"\(2, 3\)"),
    ],
    ids=[
        "dtype",
        "one image",
        "channels",
        "too few classes",
        "shape of classes",
        "class too large",
        "class too small",
        "dtype of classes",
        "too many votes",
        "votes for other labels",
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(images, classes, votes, received):
    with pytest.raises(DataError, match=f"got .*{received}"):
        FaceDataset(images, classes, ("a", "b"), votes)


def test_pair_of_arrays_becomes_a_data_set():
    dataset = as_dataset((IMAGES, [0, 1]), labels=("a", "b"), face_size=(8, 8))
    assert dataset.labels == ("a", "b")
    assert dataset.classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "face_size", "message"),
    [
        (("a", "c"), (8, 8), "have the labels a, b, but the recognizer has a, c"),
        (("a", "b"), (8, 9), r"\(8, 8\) pixels, but the recognizer needs \(8, 9\)"),
    ],
)
def test_data_set_for_another_recognizer_is_refused(labels, face_size, message):
    dataset = FaceDataset(IMAGES, CLASSES, ("a", "b"))
    with pytest.raises(DataError, match=message):
        as_dataset(dataset, labels=labels, face_size=face_size)


def test_labels_may_be_some_of_the_recognizers_in_any_order():
    dataset = FaceDataset(IMAGES, CLASSES, ("a", "b"), np.array([[0.9, 0.1], [0.2, 0.8]], "f4"))
    wider = as_dataset(dataset, labels=("b", "c", "a"))
    assert wider.labels == ("b", "c", "a")
    assert [wider.labels[kind] for kind in wider.classes] == [("a", "b")[k] for k in CLASSES]
    np.testing.assert_allclose(wider.votes, [[0.1, 0, 0.9], [0.8, 0, 0.2]], rtol=1e-6)
    for labels in (("b", "c", "a"), ("b", "a")):
        with pytest.raises(DataError, match="training needs the recognizer's labels"):
            as_dataset(dataset, labels=labels, every_label=True)


def test_labels_may_be_any_sequence():
    dataset = FaceDataset(IMAGES, CLASSES, ["a", "b"])
    assert as_dataset(dataset, labels=("a", "b")) is dataset


@pytest.mark.parametrize("classes", [[0.0, 0.7], ["a", "b"], [0], None], ids=str)
def test_classes_that_are_no_indices_are_a_data_error(classes):
    with pytest.raises(DataError):
        as_dataset((IMAGES, classes), labels=("a", "b"), face_size=(8, 8))


def test_what_was_written_is_what_is_read(tmp_path):
    faces = make_faces(1)
    again = load_dataset(write_fer2013(tmp_path / "a.csv", {"PrivateTest": faces}), "test")
    np.testing.assert_array_equal(again.images, faces.images)


def test_faces_of_the_csv_file_are_resized(small_csv):
    import cv2

    whole = load_dataset(small_csv).images
    smaller = load_dataset(small_csv, face_size=(44, 40)).images
    assert smaller.shape == (len(whole), 44, 40)
    expected = cv2.resize(whole[0], (40, 44), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(smaller[0], expected)
    with pytest.raises(ConfigError, match="face_size"):
        load_dataset(small_csv, face_size=(0, 48))

"""A Dataset of Hugging Face's datasets goes into fit and evaluate."""

import numpy as np
import pytest
from PIL import Image
from tests.conftest import TINY, make_faces

from emonet import EmotionRecognizer, Phase, Recipe
from emonet.data import as_dataset
from emonet.errors import DataError
from emonet.labels import FER2013

datasets = pytest.importorskip("datasets")

FACES = make_faces(3)
#: Another order and spelling than emonet's.
NAMES = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


def make_dataset(faces=FACES, names=NAMES, **columns):
    order = dict(zip(("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
                     range(7), strict=True))  # fmt: skip
    labels = [order[faces.labels[kind]] for kind in faces.classes]
    images = [Image.fromarray(face).convert("RGB") for face in faces.images]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    data = {"image": images, "label": labels}
    for name, (kind, values) in columns.items():
        features[name], data[name] = kind, values
    return datasets.Dataset.from_dict(data, features=datasets.Features(features))


@pytest.mark.parametrize("form", [None, "numpy"])
def test_labels_get_emonets_names_and_order(form):
    found = as_dataset(make_dataset().with_format(form), labels=FER2013, face_size=(48, 48))
    assert found.labels == FER2013
    np.testing.assert_array_equal(found.classes, FACES.classes)
    np.testing.assert_array_equal(found.images, FACES.images)


def test_faces_are_resized():
    found = as_dataset(make_dataset(make_faces(1, size=64)), labels=FER2013, face_size=(40, 40))
    assert found.images.shape == (7, 40, 40)


def test_evaluate_and_fit_take_it():
    recognizer = EmotionRecognizer.from_pretrained("tiny")
    report = recognizer.evaluate(make_dataset())
    assert report.n == 21
    assert report.accuracy == recognizer.evaluate(FACES).accuracy
    recipe = Recipe(
        name="quick", phases=(Phase(epochs=1, optimizer="adam", learning_rate=1e-3),), batch_size=7
    )
    student = EmotionRecognizer(**TINY)
    student.fit(make_dataset(), make_dataset(), recipe=recipe)
    assert student.labels == FER2013


def test_two_image_columns_are_refused():
    images = [Image.fromarray(face) for face in FACES.images]
    data = make_dataset(mask=(datasets.Image(), images))
    with pytest.raises(DataError, match="one column of Image, got image, mask"):
        as_dataset(data, labels=FER2013)


def test_a_column_of_numbers_is_no_class_label():
    data = make_dataset().cast_column("label", datasets.Value("int64"))
    with pytest.raises(DataError, match="one column of ClassLabel, got none among image, label"):
        as_dataset(data, labels=FER2013)


def test_rows_without_a_label_are_refused():
    labels = [-1, *[0] * 20]
    images = [Image.fromarray(face) for face in FACES.images]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    data = datasets.Dataset.from_dict(
        {"image": images, "label": labels}, features=datasets.Features(features)
    )
    with pytest.raises(DataError, match="1 of 21 rows have no label"):
        as_dataset(data, labels=FER2013)


def test_all_splits_at_once_are_refused():
    splits = datasets.DatasetDict(train=make_dataset(), test=make_dataset())
    with pytest.raises(DataError, match="Expected one split of train, test, got DatasetDict"):
        as_dataset(splits, labels=FER2013)

"""Results go to other tools, which are real here; tests of a tool that is missing are skipped."""

import json

import numpy as np
import pytest

from emonet import Box, Detection, EmotionRecognizer, ImageResult, TrackedFace, VideoFrame
from emonet import sample_photo as photo
from emonet.errors import ImageError, InputError, MissingDependencyError
from emonet.integrations import (
    from_supervision,
    label_studio_config,
    to_fiftyone,
    to_label_studio,
    to_supervision,
)

LABELS = ("anger", "happiness", "neutral")


def tracked(track: int, x: int, probabilities: tuple[float, ...]) -> TrackedFace:
    named = dict(zip(LABELS, probabilities, strict=True))
    label = max(named, key=named.__getitem__)
    box = Box(x, 20, 30, 40)
    return TrackedFace(
        box=box,
        label=label,
        score=named[label],
        probabilities=named,
        detection=Detection(box, 0.9),
        track=track,
        raw_probabilities=named,
    )


FRAME = VideoFrame(
    index=3,
    seconds=0.12,
    width=200,
    height=100,
    faces=(tracked(1, 10, (0.1, 0.7, 0.2)), tracked(4, 100, (0.2, 0.2, 0.6))),
)
NOBODY = VideoFrame(index=4, seconds=0.16, width=200, height=100)
FAILED = ImageResult("a.jpg", 0, 0, error=ImageError("a.jpg is damaged"))


@pytest.fixture(scope="module")
def result() -> ImageResult:
    """The result of the sample photo."""
    return EmotionRecognizer.from_pretrained("tiny").predict(photo())


@pytest.fixture
def supervision():
    return pytest.importorskip("supervision")


def test_supervision_draws_faces_of_a_photo(supervision, result):
    detections = to_supervision(result)
    x, y, width, height = result.faces[0].box
    assert detections.xyxy.tolist() == [[x, y, x + width, y + height]]
    assert detections.tracker_id is None
    assert detections.class_id.tolist() == [3]
    assert detections.data["class_name"].tolist() == ["happiness"]
    assert detections.confidence[0] == pytest.approx(result.faces[0].score)
    assert detections.data["probabilities"].sum() == pytest.approx(1)
    scene = np.zeros((400, 400, 3), np.uint8)
    assert supervision.BoxAnnotator().annotate(scene.copy(), detections).any()
    assert supervision.LabelAnnotator().annotate(scene.copy(), detections).any()
    assert from_supervision(detections) == [result.faces[0].box]
    recognizer = EmotionRecognizer.from_pretrained("tiny")
    (face,) = recognizer.predict(photo(), boxes=from_supervision(detections)).faces
    assert (face.box, face.label) == (result.faces[0].box, "happiness")


def test_supervision_gets_tracks(supervision):
    detections = to_supervision(FRAME)
    assert detections.tracker_id.tolist() == [1, 4]
    assert detections.class_id.tolist() == [1, 2]
    # Its own tools for boxes work with emonet's tracks.
    assert len(detections[detections.confidence > 0.65]) == 1
    zone = supervision.PolygonZone(np.array([[0, 0], [60, 0], [60, 99], [0, 99]]))
    assert zone.trigger(detections).tolist() == [True, False]
    merged = supervision.Detections.merge([detections, to_supervision(NOBODY)])
    assert merged.tracker_id.tolist() == [1, 4]


def test_supervision_has_no_face_where_emonet_has_none(supervision):
    empty = to_supervision(NOBODY)
    assert len(empty) == len(empty.tracker_id) == 0
    assert from_supervision(empty) == []
    assert to_supervision(ImageResult("a.jpg", 10, 10)).tracker_id is None


def test_fiftyone_gets_relative_boxes_and_tracks():
    fiftyone = pytest.importorskip("fiftyone")
    labels = to_fiftyone(FRAME)
    assert isinstance(labels, fiftyone.Detections)
    first, second = labels.detections
    assert first.bounding_box == [0.05, 0.2, 0.15, 0.4]
    assert (first.label, second.label) == ("happiness", "neutral")
    assert (first.index, second.index) == (1, 4)
    assert first.confidence == pytest.approx(0.7)
    # What FiftyOne writes into its database.
    stored = json.loads(labels.to_json())["detections"][0]
    assert stored["probabilities"] == pytest.approx(
        {"anger": 0.1, "happiness": 0.7, "neutral": 0.2}
    )
    assert stored["detection_score"] == pytest.approx(0.9)
    again = fiftyone.Detections.from_json(labels.to_json())
    assert again.detections[0].bounding_box == first.bounding_box
    assert to_fiftyone(NOBODY).detections == []


def test_label_studio_accepts_predictions(result):
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    interface = interfaces.LabelInterface(label_studio_config(result.faces[0].probabilities))
    interface.validate()
    task = json.loads(json.dumps(to_label_studio(result, "https://example.org/photo.jpg")))
    (prediction,) = task["predictions"]
    assert interface.validate_prediction(prediction, return_errors=True) == []
    (region,) = prediction["result"]
    wrong = {**region, "value": {**region["value"], "rectanglelabels": ["unknown"]}}
    assert not interface.validate_prediction({**prediction, "result": [wrong]})


def test_label_studio_gets_percent_and_the_lowest_score(result):
    (face,) = result.faces
    task = to_label_studio(result)
    assert task["data"] == {"image": str(photo())}
    (prediction,) = task["predictions"]
    assert prediction["score"] == pytest.approx(face.score)
    value = prediction["result"][0]["value"]
    assert value["rectanglelabels"] == ["happiness"]
    assert [value[name] for name in ("x", "y", "width", "height")] == pytest.approx(
        [part / 4 for part in face.box]
    )


def test_labels_are_escaped_in_label_studios_configuration():
    assert '<Label value="joy &amp; &quot;fun&quot;"/>' in label_studio_config(['joy & "fun"'])


def test_an_image_without_a_path_needs_a_url():
    with pytest.raises(InputError, match="pass the image's URL"):
        to_label_studio(ImageResult(None, 10, 10))
    assert to_label_studio(ImageResult(None, 10, 10), "a.jpg")["predictions"][0]["result"] == []


@pytest.mark.parametrize(
    ("convert", "module"),
    [(to_supervision, "supervision"), (to_fiftyone, "fiftyone"), (to_label_studio, None)],
)
def test_failed_images_raise_their_error(convert, module):
    if module is not None:
        pytest.importorskip(module)
    with pytest.raises(ImageError, match=r"a\.jpg is damaged"):
        convert(FAILED)


@pytest.mark.parametrize("convert", [to_supervision, to_fiftyone])
def test_a_missing_tool_is_named(convert, monkeypatch):
    monkeypatch.setattr("emonet.support.dependencies._installed", lambda module: False)
    tool = convert.__name__.removeprefix("to_")
    with pytest.raises(MissingDependencyError, match=f"Run: pip install {tool}$"):
        convert(FRAME)

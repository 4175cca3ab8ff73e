"""Convert results to tasks of Label Studio, whose predictions people correct."""

from collections.abc import Iterable
from html import escape
from typing import Any

from emonet.errors import InputError
from emonet.results import ImageResult

#: Names of the tags in the labelling configuration.
EMOTION, IMAGE = "emotion", "image"


def to_label_studio(
    result: ImageResult, image: str | None = None, *, model_version: str = "emonet"
) -> dict[str, Any]:
    """Return a task for Label Studio with the faces of an image as predictions.

    Write a list of tasks as JSON and import it into a project with ``label_studio_config``. Each
    face becomes a rectangle with its most probable label and the label's score. The prediction's
    score is the lowest of its faces: sort by it to label the least certain images first.

    Args:
        result: the result of one image.
        image: URL of the image, as Label Studio opens it; by default the result's path.
        model_version: name of the model in Label Studio.

    Raises:
        ImageError: the image could not be read; it is the result's own error.
        InputError: the result has no path, and ``image`` is None.

    Examples:
        >>> from emonet import EmotionRecognizer, sample_photo
        >>> result = EmotionRecognizer.from_pretrained().predict(sample_photo())
        >>> task = to_label_studio(result, "https://example.org/photo.jpg")
        >>> task["predictions"][0]["result"][0]["value"]["rectanglelabels"]
        ['happiness']
    """
    if result.error is not None:
        raise result.error
    image = image or result.path
    if image is None:
        raise InputError("The result has no path: pass the image's URL as image")
    regions = [
        {
            "id": f"face{number}",
            "from_name": EMOTION,
            "to_name": IMAGE,
            "type": "rectanglelabels",
            "original_width": result.width,
            "original_height": result.height,
            "image_rotation": 0,
            "score": float(face.score),
            "value": {  # in percent of the image
                "x": 100 * face.box.x / result.width,
                "y": 100 * face.box.y / result.height,
                "width": 100 * face.box.width / result.width,
                "height": 100 * face.box.height / result.height,
                "rotation": 0,
                "rectanglelabels": [max(face.probabilities, key=face.probabilities.__getitem__)],
            },
        }
        for number, face in enumerate(result.faces, 1)
    ]
    score = float(min((face.score for face in result.faces), default=0.0))
    return {
        "data": {IMAGE: image},
        "predictions": [{"model_version": model_version, "score": score, "result": regions}],
    }


def label_studio_config(labels: Iterable[str]) -> str:
    """Return the labelling configuration that the tasks of ``to_label_studio`` need, as XML.

    Examples:
        >>> print(label_studio_config(["anger", "neutral"]))
        <View>
          <Image name="image" value="$image"/>
          <RectangleLabels name="emotion" toName="image">
            <Label value="anger"/>
            <Label value="neutral"/>
          </RectangleLabels>
        </View>
    """
    rows = "\n".join(f'    <Label value="{escape(label)}"/>' for label in labels)
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}"/>\n'
        f'  <RectangleLabels name="{EMOTION}" toName="{IMAGE}">\n{rows}\n'
        f"  </RectangleLabels>\n</View>"
    )

"""JSON of requests and answers, for the OpenAPI description."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from emonet.service.bodies import FORM, IMAGE_TYPES, JSON, Images

EXAMPLE_FACE: JsonValue = {
    "box": [140, 66, 88, 112],
    "label": "happiness",
    "score": 0.97,
    "probabilities": {
        "anger": 0.0,
        "disgust": 0.0,
        "fear": 0.0,
        "happiness": 0.97,
        "sadness": 0.0,
        "surprise": 0.01,
        "neutral": 0.02,
    },
}
EXAMPLE: JsonValue = {
    "results": [{"path": None, "width": 400, "height": 400, "faces": [EXAMPLE_FACE]}]
}


class Status(BaseModel):
    """The state of the service."""

    status: str


class Face(BaseModel):
    """A face and its expression."""

    box: list[int] = Field(
        min_length=4, max_length=4, description="x, y, width, height in pixels of the image."
    )
    label: str | None = Field(description="The most probable class; null below min_score.")
    score: float = Field(ge=0, le=1, description="Probability of the most probable class.")
    probabilities: dict[str, float]


class Read(BaseModel):
    """The faces of an image, the most confident detection first."""

    path: str | None = Field(description="The name of the file in a form, else null.")
    width: int = Field(description="Pixels, after the EXIF rotation.")
    height: int
    faces: list[Face]


class Failed(BaseModel):
    """An image that can't be read, among others that can."""

    path: str | None
    error: str


class Predictions(BaseModel):
    """A result for each image, in the order of the images."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    results: list[Read | Failed]


class Probabilities(BaseModel):
    """A row of probabilities for each face crop, in the order of the labels."""

    labels: list[str]
    probabilities: list[list[float]]


def request_body(what: str) -> dict[str, Any]:
    """Return the OpenAPI description of a body that holds images."""
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {"files": {"type": "array", "items": file, "minItems": 1}},
        "required": ["files"],
    }
    images = Images.model_json_schema()
    images["properties"]["images"]["minItems"] = 1
    content: dict[str, Any] = {kind: {"schema": file} for kind in IMAGE_TYPES}
    content[FORM] = {"schema": form}
    content[JSON] = {"schema": images}
    description = f"The bytes of one image, or a form or JSON with several images: {what}."
    return {"requestBody": {"required": True, "description": description, "content": content}}

"""Hooks for schemathesis: bodies that are images, which an OpenAPI description can't say."""

import base64
import io

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

from emonet.service.bodies import IMAGE_TYPES

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")


def encoded(format: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


IMAGES = st.sampled_from([encoded(format) for format in FORMATS])
for media_type in IMAGE_TYPES:
    schemathesis.openapi.media_type(media_type, IMAGES)
schemathesis.openapi.format("binary", IMAGES)
schemathesis.openapi.format("base64", IMAGES.map(lambda data: base64.b64encode(data).decode()))
#: Inside these images.
schemathesis.openapi.format("box", st.sampled_from(["1,2,20,16", "0,0,32.5,24"]))

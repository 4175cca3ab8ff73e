"""A sample photo.

``sample.jpg`` is NASA's portrait of the astronaut Eileen Collins, cropped to 400x400 pixels. It
is in the public domain: https://flic.kr/p/r9qvLn, NASA's Great Images collection.
"""

from pathlib import Path


def sample_photo() -> Path:
    """Return the path of a JPEG photo of one smiling face, 400x400 pixels.

    It is NASA's portrait of Eileen Collins, in the public domain.

    Examples:
        >>> emonet.sample_photo().name
        'sample.jpg'
    """
    return Path(__file__).with_name("sample.jpg")

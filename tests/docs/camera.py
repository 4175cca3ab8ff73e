"""A film for the fake camera of Chromium."""

from pathlib import Path

import numpy as np

from emonet import load_image, sample_photo


def write_film(path: Path) -> None:
    """Write a film of 640x480 pixels in which the sample photo moves to and fro."""
    import cv2

    photo = load_image(sample_photo())
    with path.open("wb") as file:
        for index in range(60):
            frame = np.full((480, 640, 3), 200, np.uint8)
            left = 100 + int(40 * np.sin(index / 60 * 2 * np.pi))
            frame[40:440, left : left + 400] = photo
            file.write(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())


def arguments(film: Path) -> list[str]:
    """Return Chromium's arguments for a camera that plays a film without asking."""
    return [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]

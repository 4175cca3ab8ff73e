"""deepface: its public function, image by image; without face detection where faces are given.

deepface downloads its weights at first use. Random weights take the same time.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.peers import harness


def analyze() -> Callable[..., list]:
    """Return deepface's function, with random weights."""
    os.environ["DEEPFACE_HOME"] = str(Path.cwd())  # deepface makes folders there
    from deepface import DeepFace
    from deepface.commons import weight_utils

    weight_utils.download_weights_if_necessary = lambda *_, **__: "none"
    weight_utils.load_model_weights = lambda model, *_, **__: model

    return partial(DeepFace.analyze, actions=["emotion"], silent=True)


def loop() -> harness.Predict:
    """Load deepface for ready faces."""
    answer = analyze()

    def predict(faces: np.ndarray) -> list:
        images = [np.repeat(face[..., np.newaxis], 3, axis=2) for face in faces]
        return [found[0]["emotion"] for found in answer(images, detector_backend="skip")]

    return predict


def film_loop() -> harness.Watch:
    """Load deepface for a loop over the frames of a film, with its default detector."""
    import cv2

    answer = analyze()

    def watch(film: str) -> int:
        video, found = cv2.VideoCapture(film), 0
        while (read := video.read())[0]:
            # Without a face, deepface takes the whole frame, with confidence 0.
            faces = answer(read[1], enforce_detection=False)
            found += faces[0]["face_confidence"] > 0
        return found

    return watch


harness.run("deepface", {"loop": loop}, films={"loop": film_loop})

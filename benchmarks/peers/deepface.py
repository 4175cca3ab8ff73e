"""deepface: its public function, image by image, without face detection.

deepface downloads its weights at first use. Random weights take the same time.
"""

import os
from pathlib import Path

import numpy as np

from benchmarks.peers import harness


def loop() -> harness.Predict:
    """Load deepface with random weights."""
    os.environ["DEEPFACE_HOME"] = str(Path.cwd())  # deepface makes folders there
    from deepface import DeepFace
    from deepface.commons import weight_utils

    weight_utils.download_weights_if_necessary = lambda *_, **__: "none"
    weight_utils.load_model_weights = lambda model, *_, **__: model

    def predict(faces: np.ndarray) -> list:
        answers = DeepFace.analyze(
            [np.repeat(face[..., np.newaxis], 3, axis=2) for face in faces],
            actions=["emotion"],
            detector_backend="skip",
            silent=True,
        )
        return [answer[0]["emotion"] for answer in answers]

    return predict


harness.run("deepface", {"loop": loop})

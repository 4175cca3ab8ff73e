"""facex: the function that it calls for each detected face."""

import numpy as np

from benchmarks.peers import harness


def public_api() -> harness.Predict:
    """Load one classifier from its pool."""
    import facex

    classifier = facex.PoolManager(pool_size=1).get_classifier()

    def predict(faces: np.ndarray) -> list:
        return [classifier.detect_emotion(face) for face in faces]

    return predict


harness.run("facex", {"public API": public_api})

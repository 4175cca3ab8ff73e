"""facex: the call that it makes for each face it has found."""

import numpy as np

from benchmarks.peers import harness


def public_api() -> harness.Predict:
    """Load one of the classifiers that its pool holds."""
    import facex

    classifier = facex.PoolManager(pool_size=1).get_classifier()

    def predict(faces: np.ndarray) -> list:
        return [classifier.detect_emotion(face) for face in faces]

    return predict


harness.run("facex", {"public API": public_api})

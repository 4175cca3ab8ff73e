"""Compare a model's and people's predictions of FER-2013's labels.

FER+ (Barsoum et al. 2016) has ten people's votes for each face of FER-2013. They show how noisy the
labels are, and set no upper bound: a network also learns which labels FER-2013's labellers give.
"""

from pathlib import Path

import numpy as np

from emonet import EmotionRecognizer, load_dataset

FOLDS = 10


def label_noise(model: str | None, data: Path, ferplus: Path, split: str) -> dict[str, float]:
    """Return the accuracy (0..1) of several predictions of a split's labels.

    ``refitted``, ``votes`` and ``both`` are logistic regressions on the model's log-probabilities,
    on the fractions of the votes, and on both, with ten-fold cross-validation. A face without a
    vote for any of the seven classes keeps its label as its vote, which slightly overestimates
    ``votes``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    faces = load_dataset(data, split, ferplus=ferplus)
    probabilities = EmotionRecognizer.from_pretrained(model).predict_proba(faces.images)
    logs, votes = np.log(np.maximum(probabilities, 1e-4)), faces.targets

    def regression(known: np.ndarray) -> float:
        guess = cross_val_predict(LogisticRegression(max_iter=3000), known, faces.classes, cv=FOLDS)
        return float((guess == faces.classes).mean())

    return {
        "faces": len(faces),
        "model": float((probabilities.argmax(axis=1) == faces.classes).mean()),
        "majority": float((votes.argmax(axis=1) == faces.classes).mean()),
        "refitted": regression(logs),
        "votes": regression(votes),
        "both": regression(np.hstack([logs, votes])),
    }

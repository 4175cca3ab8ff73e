"""What FER-2013's labels allow: how much ten people's look at each face adds to a model's.

FER+ (Barsoum et al. 2016) has the votes of ten people on every face of FER-2013. A network sees
the face alone; whoever knows the votes as well knows what people see in it. So what the two
predict together is what better eyes than the model's could still gain.
"""

from pathlib import Path

import numpy as np

from emonet import EmotionRecognizer, load_dataset

FOLDS = 10


def label_limits(model: str | None, data: Path, ferplus: Path, split: str) -> dict[str, float]:
    """Return how many of a split's labels are right (0..1), by what they are predicted from.

    ``refitted``, ``votes`` and ``both`` are logistic regressions on the log-probabilities, on the
    shares of the votes and on both, each face predicted by one that learnt from nine tenths of
    the others. A face whose votes all went to none of the seven classes keeps its label as its
    vote, which flatters the votes a little.
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

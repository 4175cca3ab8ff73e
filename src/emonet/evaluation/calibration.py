"""How much a score is worth: the temperature, and which share of faces is above a threshold."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emonet.evaluation.report import Report, expected_calibration_error, make_report
from emonet.network.ensemble import apply_temperature

__all__ = [
    "Calibration",
    "CalibrationFigures",
    "Coverage",
    "coverage_curve",
    "learn_temperature",
    "measure_calibration",
    "perfect_ece",
]

logger = logging.getLogger("emonet")

TEMPERATURES = (0.1, 10.0)
PERFECT_DRAWS = 100
MIN_SCORES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFigures:
    """Accuracy (0..1), log loss (nats) and expected calibration error (0..1)."""

    accuracy: float
    log_loss: float
    ece: float

    @classmethod
    def of(cls, report: Report) -> "CalibrationFigures":
        """Take the figures from a report."""
        return cls(accuracy=report.accuracy, log_loss=report.log_loss, ece=report.ece)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a threshold does.

    Attributes:
        min_score: faces with a lower score get no label.
        coverage: share of the faces that keep their label, 0..1.
        accuracy: among those, 0..1; None where there are none.
    """

    min_score: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A temperature and what it is worth, on faces that it was not learnt on.

    Attributes:
        temperature: divides the log-probabilities; 1 leaves them.
        learnt_on: faces that it was learnt on.
        faces: other faces, which all figures are of.
        before: with the temperature 1.
        after: with this temperature.
        perfect_ece: the calibration error that perfect scores would have on so few faces.
        coverage: with this temperature, for thresholds from 0 up.
        seed: of the split into both.
    """

    temperature: float
    learnt_on: int
    faces: int
    before: CalibrationFigures
    after: CalibrationFigures
    coverage: tuple[Coverage, ...]
    seed: int
    perfect_ece: float


def learn_temperature(probabilities: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """Return the temperature with the lowest log loss (Guo et al. 2017), 0.1 to 10.

    Args:
        probabilities: uncalibrated, (n, k).
        classes: the true classes, (n,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
    rows = np.arange(len(classes))

    def loss(temperature: float) -> float:
        scores = logs / temperature
        return float((logsumexp(scores, axis=1) - scores[rows, classes]).mean())

    found = float(minimize_scalar(loss, bounds=TEMPERATURES, method="bounded").x)
    if not 1.01 * TEMPERATURES[0] < found < 0.99 * TEMPERATURES[1]:
        logger.warning(
            "The temperature %.3g is at the end of what is searched: %d faces, of which %.0f %% "
            "are labelled rightly, do not tell how sure the model may be. Calibrate on more faces",
            found, len(classes), 100 * (probabilities.argmax(axis=1) == classes).mean(),
        )  # fmt: skip
    return found


def measure_calibration(
    temperature: float,
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    learnt_on: int,
    seed: int,
) -> Calibration:
    """Tell what a temperature is worth on faces that it was not learnt on.

    Args:
        temperature: as learnt.
        probabilities: uncalibrated, (n, k).
        classes: the true classes, (n,).
        labels: of the columns.
        learnt_on: how many faces it was learnt on.
        seed: of the split into those and these.
    """
    after = apply_temperature(probabilities, temperature)
    return Calibration(
        temperature=temperature,
        learnt_on=learnt_on,
        faces=len(classes),
        before=CalibrationFigures.of(make_report(probabilities, classes, labels)),
        after=CalibrationFigures.of(make_report(after, classes, labels)),
        coverage=coverage_curve(after, classes),
        seed=seed,
        perfect_ece=perfect_ece(after, seed=seed),
    )


def perfect_ece(probabilities: NDArray[np.float32], *, seed: int = 0) -> float:
    """Return the mean calibration error where labels are drawn from the scores themselves.

    Such scores mean exactly what they say; what is left is chance, and grows as faces get fewer.

    Args:
        probabilities: (n, k).
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    upto = probabilities.cumsum(axis=1)
    errors = []
    for _ in range(PERFECT_DRAWS):
        thresholds = random.random((len(upto), 1)) * upto[:, -1:]
        errors.append(expected_calibration_error(probabilities, (upto < thresholds).sum(axis=1)))
    return float(np.mean(errors))


def coverage_curve(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64]
) -> tuple[Coverage, ...]:
    """Return what each threshold of MIN_SCORES does; as for learn_temperature."""
    scores, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    curve = []
    for min_score in MIN_SCORES:
        kept = scores >= min_score
        curve.append(
            Coverage(
                min_score=min_score,
                coverage=float(kept.mean()),
                accuracy=float(right[kept].mean()) if kept.any() else None,
            )
        )
    return tuple(curve)

"""Calibration: fit a temperature, and measure how well scores match accuracy."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emonet.data import FaceDataset
from emonet.evaluation.report import expected_calibration_error, make_report
from emonet.model import Model
from emonet.network.ensemble import apply_factors, apply_temperature
from emonet.records import Calibration, CalibrationFigures, Coverage, Report

logger = logging.getLogger("emonet")

TEMPERATURES = (0.1, 10.0)
PERFECT_DRAWS = 100
MIN_SCORES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def calibrate(
    model: Model,
    predict_proba: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    dataset: FaceDataset,
    *,
    seed: int,
) -> Model:
    """Fit a temperature on half of the faces and measure it on the other half.

    Args:
        model: the model.
        predict_proba: maps uint8 (n, height, width) to uncalibrated float32 (n, classes).
        dataset: faces that no network was trained on.
        seed: seed of the split into halves, which have the same class proportions.
    """
    fitting, measuring = dataset.hold_out(0.5, seed=seed)
    factors = model.config.class_factors
    temperature = fit_temperature(predict_proba(fitting.images), fitting.classes, factors)
    calibration = measure_calibration(
        temperature,
        predict_proba(measuring.images),
        measuring.classes,
        model.config.labels,
        fitted_on=len(fitting),
        seed=seed,
        factors=factors,
    )
    return replace(
        model,
        config=replace(model.config, temperature=temperature),
        record=replace(model.record, evaluation={}, calibration=calibration),
    )


def fit_temperature(
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int64],
    factors: Sequence[float] | None = None,
) -> float:
    """Return the temperature with the lowest log loss (Guo et al. 2017), 0.1 to 10.

    Args:
        probabilities: uncalibrated probabilities, float32 (n, k).
        classes: true classes, int64 (n,).
        factors: what the class prior multiplies each class by; None without a prior.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
    rows = np.arange(len(classes))
    prior = 0.0 if factors is None else np.log(factors)

    def loss(temperature: float) -> float:
        scores = logs / temperature + prior
        return float((logsumexp(scores, axis=1) - scores[rows, classes]).mean())

    fitted = float(minimize_scalar(loss, bounds=TEMPERATURES, method="bounded").x)
    if not 1.01 * TEMPERATURES[0] < fitted < 0.99 * TEMPERATURES[1]:
        logger.warning(
            "The temperature %.3g is at the end of the search range, so it is not reliable: the "
            "model labels %.0f %% of %d faces correctly. Calibrate on more faces",
            fitted, 100 * (probabilities.argmax(axis=1) == classes).mean(), len(classes),
        )  # fmt: skip
    return fitted


def measure_calibration(
    temperature: float,
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    fitted_on: int,
    seed: int,
    factors: Sequence[float] | None = None,
) -> Calibration:
    """Measure calibration before and after a temperature, on faces it was not fitted on.

    Args:
        temperature: the fitted temperature.
        probabilities: uncalibrated probabilities, float32 (n, k).
        classes: true classes, int64 (n,).
        labels: the k labels in column order.
        fitted_on: number of faces that the temperature was fitted on.
        seed: seed of the split into fitted and measured faces.
        factors: what the class prior multiplies each class by; None without a prior.
    """
    before = apply_factors(probabilities, factors)
    after = apply_factors(apply_temperature(probabilities, temperature), factors)
    return Calibration(
        temperature=temperature,
        fitted_on=fitted_on,
        faces=len(classes),
        before=_figures(make_report(before, classes, labels)),
        after=_figures(make_report(after, classes, labels)),
        coverage=coverage_curve(after, classes),
        seed=seed,
        perfect_ece=perfect_ece(after, seed=seed),
    )


def _figures(report: Report) -> CalibrationFigures:
    return CalibrationFigures(accuracy=report.accuracy, log_loss=report.log_loss, ece=report.ece)


def perfect_ece(probabilities: NDArray[np.float32], *, seed: int = 0) -> float:
    """Return the calibration error that perfectly calibrated scores have by chance.

    It is the mean of ``perfect_errors``. With fewer faces, it is larger.
    """
    return float(perfect_errors(probabilities, seed=seed).mean())


def perfect_errors(probabilities: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float64]:
    """Return the calibration errors (100,) of draws of labels from the scores.

    Args:
        probabilities: float32 (n, k).
        seed: seed of the draws.
    """
    random = np.random.default_rng(seed)
    cdf = probabilities.cumsum(axis=1)
    errors = []
    for _ in range(PERFECT_DRAWS):
        thresholds = random.random((len(cdf), 1)) * cdf[:, -1:]
        errors.append(expected_calibration_error(probabilities, (cdf < thresholds).sum(axis=1)))
    return np.array(errors)


def coverage_curve(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64]
) -> tuple[Coverage, ...]:
    """Return coverage and accuracy at every score threshold of MIN_SCORES."""
    scores, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    curve = []
    for min_score in MIN_SCORES:
        kept = scores >= min_score
        curve.append(
            Coverage(
                min_score=min_score,
                coverage=float(kept.mean()),
                accuracy=float(correct[kept].mean()) if kept.any() else None,
            )
        )
    return tuple(curve)

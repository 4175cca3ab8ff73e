"""Compare two recognizers on the same faces."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from emonet.evaluation.report import make_report
from emonet.records import Comparison, Difference, Disagreement

RESAMPLES = 2000
#: Bootstrap samples that are drawn at a time, which bounds memory use.
BATCH = 50


def compare(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    classes: NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    seed: int = 0,
) -> Comparison:
    """Compare two recognizers' probabilities of the same faces.

    Args:
        first: float32 (n, k), rows sum to 1.
        second: likewise.
        classes: true classes, int64 (n,), indices into labels.
        labels: the k labels in column order.
        seed: seed of the bootstrap.

    Raises:
        DataError: there is no face to evaluate on.
    """
    reports = [make_report(one, classes, labels) for one in (first, second)]
    predicted = first.argmax(axis=1), second.argmax(axis=1)
    correct = predicted[0] == classes, predicted[1] == classes
    per_class = {
        label: _difference(correct[0][of_class], correct[1][of_class], seed)
        for index, label in enumerate(labels)
        if (of_class := classes == index).any()
    }
    differ = predicted[0] != predicted[1]
    cases = Counter(zip(*(part[differ].tolist() for part in (classes, *predicted)), strict=True))
    return Comparison(
        first=reports[0],
        second=reports[1],
        overall=_difference(*correct, seed),
        per_class=per_class,
        disagreements=tuple(
            Disagreement(label=labels[true], first=labels[one], second=labels[other], faces=count)
            for (true, one, other), count in sorted(
                cases.items(), key=lambda case: (-case[1], case[0])
            )
        ),
    )


def _difference(first: NDArray[np.bool_], second: NDArray[np.bool_], seed: int) -> Difference:
    """Compare which of the same faces, bool (n,), two recognizers label correctly."""
    from scipy.stats import binomtest, bootstrap

    gains = second.astype(np.float64) - first
    only_first, only_second = int((gains < 0).sum()), int((gains > 0).sum())
    low = high = float(gains.mean())
    p_value = 1.0
    if only_first + only_second:
        interval = bootstrap(
            (gains,), np.mean, n_resamples=RESAMPLES, batch=BATCH, method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        low, high = float(interval.low), float(interval.high)
        p_value = float(binomtest(only_first, only_first + only_second).pvalue)
    return Difference(
        faces=len(first),
        first=float(first.mean()),
        second=float(second.mean()),
        difference=float(gains.mean()),
        interval_95=(low, high),
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
    )

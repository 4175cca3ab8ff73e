"""Audit: the figures of a recognizer by group of faces, and the largest gaps between groups."""

from collections.abc import Iterable, Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from emonet.evaluation.calibration import perfect_errors
from emonet.evaluation.report import binned_errors, binned_gaps, make_report
from emonet.records import AuditReport, Gap, GroupReport, Measure, Proportion, Report

#: Bootstrap samples and permutations.
RESAMPLES = 2000
#: Faces of all samples that are drawn at a time, which bounds memory use.
MOST_DRAWN = 1_000_000
#: False labels of this class come first: they can do the most harm.
FIRST = "anger"

Groups = NDArray[np.str_]
#: Accuracy minus confidence of each face (n,), and the bin of its confidence (n,).
Binned = tuple[NDArray[np.float64], NDArray[np.int64]]


def reports_by_group(
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int64],
    labels: tuple[str, ...],
    groups: Groups,
) -> dict[str, Report]:
    """Return the Report of each group, by name in alphabetical order.

    Args:
        probabilities: float32 (n, k), rows sum to 1.
        classes: true classes, int64 (n,), indices into labels.
        labels: the k labels in column order.
        groups: the group of each face (n,).
    """
    return {
        name: make_report(probabilities[groups == name], classes[groups == name], labels)
        for name in np.unique(groups).tolist()
    }


def audit(
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int64],
    labels: tuple[str, ...],
    groups: Groups,
    *,
    min_faces: int,
    seed: int,
) -> AuditReport:
    """Measure a recognizer on each group of faces, and compare the groups.

    Args:
        probabilities: float32 (n, k), rows sum to 1.
        classes: true classes, int64 (n,), indices into labels.
        labels: the k labels in column order.
        groups: the group of each face (n,), two groups or more.
        min_faces: groups with fewer faces are marked as small.
        seed: seed of the bootstrap and of the permutations.

    Raises:
        DataError: there is no face to evaluate on.
    """
    overall = make_report(probabilities, classes, labels)
    reports = reports_by_group(probabilities, classes, labels, groups)
    gaps, bins = binned_gaps(probabilities, classes)
    binned = {name: (gaps[groups == name], bins[groups == name]) for name in reports}
    resampled = {
        name: _resampled_errors(part, (seed, index))
        for index, (name, part) in enumerate(binned.items())
    }
    by_group = {}
    for name, report in reports.items():
        perfect = perfect_errors(probabilities[groups == name], seed=seed)
        by_group[name] = GroupReport(
            report=report,
            small=report.n < min_faces,
            recall=_recall(report),
            false_labels=_false_labels(report),
            ece_interval_95=_error_interval(report.ece, resampled[name], perfect),
            perfect_ece=float(perfect.mean()),
        )
    found = [
        *_proportion_gaps(by_group, labels, min_faces, seed),
        *_calibration_gaps(by_group, binned, resampled, min_faces, seed),
    ]
    return AuditReport(
        overall=overall, groups=by_group, gaps=tuple(sorted(found, key=_rank)), min_faces=min_faces
    )


def _rank(gap: Gap) -> tuple[bool, bool, bool, float]:
    first = gap.measure == "false_label" and gap.label == FIRST
    return not first, gap.small, first and gap.true_label is not None, -gap.difference


def _proportion(count: int, faces: int) -> Proportion:
    from scipy.stats import binomtest

    interval = binomtest(count, faces).proportion_ci(method="wilson")
    ends = float(interval.low), float(interval.high)
    return Proportion(value=count / faces, interval_95=ends, faces=faces)


def _recall(report: Report) -> dict[str, Proportion]:
    return {
        label: _proportion(row[index], sum(row))
        for index, (label, row) in enumerate(zip(report.per_class, report.confusion, strict=True))
        if sum(row)
    }


def _false_labels(report: Report) -> dict[str, Proportion]:
    confusion = np.array(report.confusion)
    false = {}
    for index, label in enumerate(report.per_class):
        others = np.delete(confusion, index, axis=0)
        if others.sum():
            false[label] = _proportion(int(others[:, index].sum()), int(others.sum()))
    return false


def _false_labels_of(report: Report, label: str, true_label: str) -> Proportion | None:
    """Return the share of a class's faces that get another class's label; None without faces."""
    names = list(report.per_class)
    row = report.confusion[names.index(true_label)]
    return _proportion(row[names.index(label)], sum(row)) if sum(row) else None


def _proportion_gaps(
    groups: Mapping[str, GroupReport], labels: tuple[str, ...], min_faces: int, seed: int
) -> Iterable[Gap]:
    """Yield the largest gap in each share; none where fewer than two groups have such faces."""

    def gap(
        measure: Measure,
        shares: Mapping[str, Proportion | None],
        label: str | None = None,
        true_label: str | None = None,
    ) -> Iterable[Gap]:
        present = {name: share for name, share in shares.items() if share is not None}
        compared, small = _comparable(
            {name: share.faces for name, share in present.items()}, min_faces
        )
        if len(compared) < 2:
            return
        lowest, *_, highest = sorted(compared, key=lambda name: present[name].value)
        high, low = present[highest], present[lowest]
        yield Gap(
            measure=measure,
            label=label,
            true_label=true_label,
            highest=highest,
            lowest=lowest,
            values=(high.value, low.value),
            difference=high.value - low.value,
            interval_95=newcombe_interval(high, low),
            p_value=permutation_p_value([present[name] for name in compared], seed),
            small=small,
        )

    for label in labels:
        shares = {name: group.false_labels.get(label) for name, group in groups.items()}
        yield from gap("false_label", shares, label)
        yield from gap(
            "recall", {name: group.recall.get(label) for name, group in groups.items()}, label
        )
        if label == FIRST:
            for true in labels:
                if true != label:
                    shares = {
                        name: _false_labels_of(group.report, label, true)
                        for name, group in groups.items()
                    }
                    yield from gap("false_label", shares, label, true)
    reports = {name: group.report for name, group in groups.items()}
    accuracy: dict[str, Proportion | None] = {
        name: Proportion(value=one.accuracy, interval_95=one.accuracy_interval_95, faces=one.n)
        for name, one in reports.items()
    }
    yield from gap("accuracy", accuracy)


def _comparable(faces: Mapping[str, int], min_faces: int) -> tuple[list[str], bool]:
    """Return the groups to compare, and whether any of them is small.

    The difference between the smallest groups is the largest by chance alone, so groups with few
    faces are left out where two others can be compared.
    """
    large = [name for name, count in faces.items() if count >= min_faces]
    return (large, False) if len(large) > 1 else (list(faces), True)


def newcombe_interval(first: Proportion, second: Proportion) -> tuple[float, float]:
    """Return the 95 % interval of ``first - second`` (Newcombe 1998, method 10).

    Unlike a bootstrap interval, it is not too narrow for shares near 0 and few faces.
    """
    difference = first.value - second.value
    (low, high), (other_low, other_high) = first.interval_95, second.interval_95
    below = sqrt((first.value - low) ** 2 + (other_high - second.value) ** 2)
    above = sqrt((high - first.value) ** 2 + (second.value - other_low) ** 2)
    return difference - below, difference + above


def permutation_p_value(shares: list[Proportion], seed: int) -> float:
    """Return how often the largest difference is as large if the groups are drawn at random."""
    faces = np.array([share.faces for share in shares])
    values = np.array([share.value for share in shares])
    hits = round(float(values @ faces))
    random = np.random.default_rng(seed)
    # Which group a hit falls into, if all faces are dealt out at random.
    drawn = random.multivariate_hypergeometric(faces, hits, size=RESAMPLES) / faces
    return _p_value(np.ptp(drawn, axis=1), np.ptp(values))


def _p_value(drawn: NDArray[np.float64], observed: float) -> float:
    # Equal differences count, whatever their last digit.
    return float((1 + (drawn >= observed - 1e-9).sum()) / (1 + len(drawn)))


def _resampled_errors(binned: Binned, seed: tuple[int, int]) -> NDArray[np.float64]:
    """Return the calibration errors of bootstrap samples (RESAMPLES,)."""
    count, random = len(binned[0]), np.random.default_rng(seed)
    return np.concatenate(
        [
            binned_errors(binned, random.integers(0, count, (rows, count)))
            for rows in _batches(count)
        ]
    )


def _permuted_spreads(binned: Binned, sizes: list[int], seed: int) -> NDArray[np.float64]:
    """Return the largest difference of calibration errors if faces change groups (RESAMPLES,)."""
    count, random = len(binned[0]), np.random.default_rng(seed)
    spreads = []
    for rows in _batches(count):
        order = random.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)
        parts = np.split(order, np.cumsum(sizes)[:-1], axis=1)
        spreads.append(np.ptp([binned_errors(binned, part) for part in parts], axis=0))
    return np.concatenate(spreads)


def _batches(faces: int) -> Iterable[int]:
    """Yield numbers of samples that sum to RESAMPLES, each few enough for little memory."""
    most = max(1, MOST_DRAWN // faces)
    for start in range(0, RESAMPLES, most):
        yield min(most, RESAMPLES - start)


def _interval(value: float, resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Return the basic bootstrap interval, reflected about the value, widened to hold the value.

    A calibration error is too large on few faces, and even larger on samples of them. The
    reflection removes this bias; a percentile interval would double it.
    """
    low, high = np.quantile(resampled, (0.025, 0.975)).tolist()
    return min(value, 2 * value - high), max(value, 2 * value - low)


def _error_interval(
    error: float, resampled: NDArray[np.float64], perfect: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the interval of a calibration error; it starts at 0 if perfect scores fit, too."""
    low, high = _interval(error, resampled)
    return (0.0 if error <= np.quantile(perfect, 0.975) else max(0.0, low)), high


def _calibration_gaps(
    groups: Mapping[str, GroupReport],
    binned: Mapping[str, Binned],
    resampled: Mapping[str, NDArray[np.float64]],
    min_faces: int,
    seed: int,
) -> Iterable[Gap]:
    """Yield the largest gap in the calibration error."""
    faces = {name: group.report.n for name, group in groups.items()}
    compared, small = _comparable(faces, min_faces)
    lowest, *_, highest = sorted(compared, key=lambda name: groups[name].report.ece)
    values = groups[highest].report.ece, groups[lowest].report.ece
    difference = values[0] - values[1]
    together = np.hstack([binned[name] for name in compared])
    drawn = _permuted_spreads(
        (together[0], together[1].astype(int)), [faces[name] for name in compared], seed
    )
    yield Gap(
        measure="ece",
        highest=highest,
        lowest=lowest,
        values=values,
        difference=difference,
        interval_95=_interval(difference, resampled[highest] - resampled[lowest]),
        p_value=_p_value(drawn, difference),
        small=small,
    )

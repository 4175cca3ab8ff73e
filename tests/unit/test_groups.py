"""The audit by group, against figures worked out another way, and the groups' CSV file."""

import numpy as np
import pytest
from scipy.stats import fisher_exact
from tests.conftest import make_faces, write_fer2013

from emonet import FaceDataset, Proportion, load_dataset, load_groups
from emonet.data.groups import as_groups
from emonet.errors import ConfigError, DataError
from emonet.evaluation.groups import (
    audit,
    newcombe_interval,
    permutation_p_value,
    reports_by_group,
)
from emonet.evaluation.report import make_report

LABELS = ("neutral", "anger", "fear")
NEUTRAL, ANGER, FEAR = range(3)


def probabilities(predicted: np.ndarray, confidence: np.ndarray | float = 0.8) -> np.ndarray:
    confidence = np.broadcast_to(confidence, predicted.shape)[:, None]
    return np.where(np.eye(3)[predicted] == 1, confidence, (1 - confidence) / 2).astype(np.float32)


def faces(group: str, true: int, predicted: int, count: int) -> list[tuple[str, int, int]]:
    return [(group, true, predicted)] * count


#: 30 % of 100 neutral men are called angry, and 10 % of 100 neutral women; 5 children, all wrong.
ROWS = [
    *faces("men", NEUTRAL, ANGER, 30), *faces("men", NEUTRAL, NEUTRAL, 70),
    *faces("men", FEAR, FEAR, 60), *faces("men", ANGER, ANGER, 60),
    *faces("women", NEUTRAL, ANGER, 10), *faces("women", NEUTRAL, NEUTRAL, 90),
    *faces("women", FEAR, FEAR, 54), *faces("women", FEAR, NEUTRAL, 6),
    *faces("women", ANGER, ANGER, 60),
    *faces("children", NEUTRAL, ANGER, 5),
]  # fmt: skip
GROUPS = np.array([row[0] for row in ROWS])
CLASSES = np.array([row[1] for row in ROWS])
PREDICTED = np.array([row[2] for row in ROWS])


@pytest.fixture(scope="module")
def report():
    return audit(probabilities(PREDICTED), CLASSES, LABELS, GROUPS, min_faces=50, seed=0)


def gap_of(report, measure, label=None, true_label=None):
    (gap,) = [
        one
        for one in report.gaps
        if (one.measure, one.label, one.true_label) == (measure, label, true_label)
    ]
    return gap


def test_each_group_has_the_report_of_its_faces(report) -> None:
    assert list(report.groups) == ["children", "men", "women"]
    for name, group in report.groups.items():
        own = name == GROUPS
        assert group.report == make_report(probabilities(PREDICTED)[own], CLASSES[own], LABELS)
    assert report.overall.n == len(ROWS)
    by_group = reports_by_group(probabilities(PREDICTED), CLASSES, LABELS, GROUPS)
    assert by_group == {name: group.report for name, group in report.groups.items()}


def test_shares_are_those_counted_by_hand(report) -> None:
    men, women = report.groups["men"], report.groups["women"]
    assert men.false_labels["anger"].value == 30 / 160
    assert men.false_labels["anger"].faces == 160  # neutral and fear
    assert women.false_labels["anger"].value == 10 / 160
    assert women.false_labels["neutral"].value == 6 / 120
    assert men.recall["neutral"].value == 0.7
    assert women.recall["fear"].value == 0.9
    assert list(report.groups["children"].recall) == ["neutral"]
    # By hand: Wilson's interval of 70 of 100.
    assert men.recall["neutral"].interval_95 == pytest.approx((0.6042, 0.7811), abs=1e-4)


def test_false_anger_comes_first(report) -> None:
    first, *others = report.gaps
    assert (first.measure, first.label, first.true_label) == ("false_label", "anger", None)
    assert (first.highest, first.lowest) == ("men", "women")
    assert first.difference == pytest.approx(20 / 160)
    angry = [gap.label == "anger" and gap.measure == "false_label" for gap in others]
    assert angry == sorted(angry, reverse=True)
    sizes = [gap.difference for gap in others if not gap.small and gap.label != "anger"]
    assert sizes == sorted(sizes, reverse=True)


def test_neutral_faces_called_angry_are_a_figure_of_their_own(report) -> None:
    gap = gap_of(report, "false_label", "anger", "neutral")
    assert gap.values == (0.3, 0.1)
    low, high = gap.interval_95
    half = 1.96 * np.sqrt((0.3 * 0.7 + 0.1 * 0.9) / 100)  # of two independent shares
    assert low == pytest.approx(0.2 - half, abs=0.01)
    assert high == pytest.approx(0.2 + half, abs=0.01)
    exact = fisher_exact([[30, 70], [10, 90]]).pvalue
    assert gap.p_value == pytest.approx(exact, abs=0.002)
    assert not gap.small


def test_small_groups_are_marked_and_not_compared_where_others_can_be(report) -> None:
    assert [name for name, group in report.groups.items() if group.small] == ["children"]
    accuracy = gap_of(report, "accuracy")
    assert {accuracy.highest, accuracy.lowest} == {"men", "women"}  # children have 0 % correct
    assert not accuracy.small
    everyone = audit(probabilities(PREDICTED), CLASSES, LABELS, GROUPS, min_faces=1, seed=0)
    assert gap_of(everyone, "accuracy").lowest == "children"
    nobody = audit(probabilities(PREDICTED), CLASSES, LABELS, GROUPS, min_faces=500, seed=0)
    assert all(gap.small for gap in nobody.gaps)
    assert gap_of(nobody, "accuracy").lowest == "children"


def test_newcombes_interval_is_that_of_his_paper() -> None:
    """Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80, and 10 of 10 against 0."""

    def wilson(count: int, total: int) -> Proportion:
        z, share = 1.959964, count / total
        centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
        half /= 1 + z**2 / total
        return Proportion(value=share, interval_95=(centre - half, centre + half), faces=total)

    near = newcombe_interval(wilson(56, 70), wilson(48, 80))
    assert near == pytest.approx((0.0524, 0.3339), abs=1e-4)
    extreme = newcombe_interval(wilson(10, 10), wilson(0, 20))
    assert extreme == pytest.approx((0.6791, 1.0), abs=1e-4)


def test_equal_groups_rarely_differ_by_chance() -> None:
    """Of six groups alike, the most different pair has p below 0.05 in one of 20 draws."""
    random = np.random.default_rng(0)
    p_values = []
    for seed in range(200):
        hits = random.binomial(60, 0.7, 6).tolist()
        shares = [Proportion(value=hit / 60, interval_95=(0, 1), faces=60) for hit in hits]
        p_values.append(permutation_p_value(shares, seed))
    assert 3 <= sum(p < 0.05 for p in p_values) <= 18
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)


def test_calibration_is_compared_with_an_interval() -> None:
    """Scores of one group are right; those of the other are 0.3 too high."""
    random = np.random.default_rng(1)
    classes = random.integers(0, 3, 2000)
    over = np.arange(2000) >= 1000
    right = random.random(2000) < np.where(over, 0.5, 0.8)
    predicted = np.where(right, classes, (classes + 1) % 3)
    groups = np.where(over, "over", "good")
    report = audit(probabilities(predicted), classes, LABELS, groups, min_faces=50, seed=0)
    good, bad = report.groups["good"], report.groups["over"]
    assert bad.report.ece == pytest.approx(0.3, abs=0.05)
    assert bad.ece_interval_95[0] < 0.3 < bad.ece_interval_95[1]
    assert bad.ece_interval_95[0] > 0.2
    assert good.ece_interval_95[0] == 0  # perfect scores would err as much
    assert good.perfect_ece < 0.03
    gap = gap_of(report, "ece")
    assert (gap.highest, gap.lowest) == ("over", "good")
    assert gap.interval_95[0] < 0.3 < gap.interval_95[1]
    assert gap.p_value < 0.001


def test_a_small_group_is_not_badly_calibrated_by_chance() -> None:
    """The calibration error of 60 faces is larger than that of 3,000, whatever the scores."""
    random = np.random.default_rng(0)
    confidence = random.uniform(0.4, 1, 3060)
    classes = random.integers(0, 3, 3060)
    predicted = np.where(random.random(3060) < confidence, classes, (classes + 1) % 3)
    groups = np.where(np.arange(3060) < 60, "few", "many")
    report = audit(
        probabilities(predicted, confidence), classes, LABELS, groups, min_faces=50, seed=0
    )
    few, many = report.groups["few"], report.groups["many"]
    assert few.report.ece > 2 * many.report.ece
    assert few.ece_interval_95[0] == 0
    assert gap_of(report, "ece").p_value > 0.05


def test_the_seed_decides_intervals_and_tests(report) -> None:
    again, other = (
        audit(probabilities(PREDICTED), CLASSES, LABELS, GROUPS, min_faces=50, seed=seed)
        for seed in (0, 1)
    )
    assert again == report
    assert other != report


def test_labels_without_anger_are_audited() -> None:
    classes = np.array([0, 1, 2] * 40)
    report = audit(
        probabilities(classes), classes, ("a", "b", "c"), np.array(["x", "y"] * 60),
        min_faces=10, seed=0,
    )  # fmt: skip
    assert len(report.gaps) == 3 + 3 + 1 + 1
    assert all(gap.difference == 0 for gap in report.gaps if gap.measure != "ece")
    assert all(gap.p_value == 1 for gap in report.gaps if gap.measure != "ece")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a", "b"], "one value for each of 4 faces"),
        ("abcd", "one value for each of 4 faces"),
        (["a", "b", None, "a"], "no value for face 2"),
        (["a", "b", float("nan"), " "], "no value for faces 2, 3"),
        (["a", "a", "a", "a"], r"two groups or more, got \['a'\]"),
    ],
)
def test_groups_that_say_nothing_are_refused(groups, message) -> None:
    with pytest.raises(DataError, match=message):
        as_groups(groups, 4)


def test_missing_values_of_pandas_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    for values in (["a", None, "b"], pandas.array(["a", None, "b"], dtype="string")):
        with pytest.raises(DataError, match="no value for face 1"):
            as_groups(pandas.Series(values), 3)
    assert as_groups(pandas.Series([3, 1, 3]), 3).tolist() == ["3", "1", "3"]


def test_a_column_of_names_is_no_group() -> None:
    with pytest.raises(DataError, match="at most 100 groups, got 101"):
        as_groups(range(101), 101)


@pytest.fixture
def table(tmp_path):
    """A CSV file in FER-2013's form with a column for the group, which differs by split."""
    file = write_fer2013(
        tmp_path / "faces.csv", {"Training": make_faces(1), "PublicTest": make_faces(1, seed=1)}
    )
    head, *rows = file.read_text().splitlines()
    groups = ["", *["a"] * 6, *["b", "c"] * 3, "b"]
    lines = [f"{head}, kind", *(f"{row},{group}" for row, group in zip(rows, groups, strict=True))]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_groups_are_a_column_of_the_split(table) -> None:
    dataset = load_dataset(table, "PublicTest")
    assert load_groups(table, dataset, "kind") == ["b", "c", "b", "c", "b", "c", "b"]
    chosen = dataset.subset(np.array([1, 0]))
    assert load_groups(str(table), chosen, "kind") == ["c", "b"]


def test_a_column_that_is_missing_or_empty_is_named(table) -> None:
    dataset = load_dataset(table, "Training")
    with pytest.raises(DataError, match=r"no column gender; found .*'Usage', 'kind'"):
        load_groups(table, dataset, "gender")
    with pytest.raises(DataError, match="no kind in line 2: fill it in"):
        load_groups(table, dataset, "kind")
    with pytest.raises(DataError, match="No CSV file with groups"):
        load_groups(table.with_name("other.csv"), dataset, "kind")


def test_faces_of_unknown_source_have_no_groups(table) -> None:
    dataset = load_dataset(table, "PublicTest")
    unknown = FaceDataset(dataset.images, dataset.classes, dataset.labels)
    with pytest.raises(ConfigError, match=r"emonet\.load_dataset"):
        load_groups(table, unknown, "kind")


def test_another_file_is_noticed(table, tmp_path) -> None:
    dataset = load_dataset(table, "PublicTest")
    short = tmp_path / "short.csv"
    short.write_text("kind\na\n")
    with pytest.raises(DataError, match="no row for lines 9, 10, 11 and 4 more"):
        load_groups(short, dataset, "kind")

"""Merging models and searching their weights, on arrays alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from emonet.config import ComponentConfig, ModelConfig, NetworkConfig
from emonet.errors import ConfigError, DataError, WeightsError
from emonet.labels import FER2013
from emonet.model import Model
from emonet.network.ensemble import apply_temperature
from emonet.network.weights import adapt_output
from emonet.training.ensembling import FOLDS, merge, search_weights

CLASSES = np.random.default_rng(99).integers(0, 3, 400)


def member(share_right: float, seed: int, *, sure: float = 0.6) -> np.ndarray:
    """Probabilities that are right for this share of CLASSES, the faces drawn by chance."""
    random = np.random.default_rng(seed)
    said = np.where(
        random.random(len(CLASSES)) < share_right,
        CLASSES,
        (CLASSES + 1 + random.integers(0, 2, 400)) % 3,
    )
    rest = (1 - sure) / 2
    # No two alike: ties would make accuracies depend on rounding.
    chances = np.where(np.eye(3)[said] == 1, sure, rest) * random.uniform(0.9, 1.1, (400, 3))
    return (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32)


def config(name: str = "net", *, weight: float = 1.0, **changes) -> ModelConfig:
    network = NetworkConfig(name=name, backbone=ComponentConfig(name="resnet18"), weight=weight)
    detector = ComponentConfig(name="whole_image")
    return ModelConfig(detector=detector, networks=(network,), **changes)


def arrays(seed: int, count: int = 7) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "backbone/stem/kernel": random.normal(size=(3, 3)).astype(np.float32),
        "head/probabilities/kernel": random.normal(size=(5, count)).astype(np.float32),
        "head/probabilities/bias": random.normal(size=count).astype(np.float32),
    }


def model(name: str = "net", *, seed: int = 0, count: int = 7, **changes) -> Model:
    return Model(config=config(name, **changes), weights={name: arrays(seed, count)})


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_a_good_member_outweighs_bad_ones_that_agree_with_each_other():
    bad = member(0.35, seed=2, sure=0.7)
    found = search_weights({"good": member(0.9, seed=1), "bad": bad, "same": bad}, CLASSES, seed=0)
    assert found.weights["good"] > found.weights["bad"] + found.weights["same"]
    assert found.fitted == pytest.approx(found.members["good"], abs=0.03)
    assert found.fitted > found.mean + 0.2
    assert found.held_out > found.mean + 0.2
    assert found.beats_mean


def test_learnt_weights_are_shares_and_their_figures_are_those_of_the_mean_with_them():
    members = {f"m{seed}": member(0.6, seed=seed) for seed in range(3)}
    found = search_weights(members, CLASSES, seed=0)
    assert list(found.weights) == list(members)
    assert min(found.weights.values()) >= 0
    assert sum(found.weights.values()) == pytest.approx(1)
    mean = sum(found.weights[name] * part.astype(np.float64) for name, part in members.items())
    assert found.fitted == pytest.approx((mean.argmax(axis=1) == CLASSES).mean(), abs=0.003)
    truth = mean[np.arange(len(CLASSES)), CLASSES]
    assert found.log_loss == pytest.approx(-np.log(truth).mean(), abs=1e-5)
    for name, part in members.items():
        assert found.members[name] == (part.argmax(axis=1) == CLASSES).mean()
    plain = sum(part.astype(np.float64) for part in members.values())
    assert found.mean == pytest.approx((plain.argmax(axis=1) == CLASSES).mean(), abs=0.003)


def test_search_goes_on_until_its_candidates_err_alike(monkeypatch: pytest.MonkeyPatch):
    """SciPy's own tolerance is a share of all errors, which members that are alike meet at once."""
    searches, search = [], optimize.differential_evolution

    def watched(*args, **kwargs):
        searches.append(search(*args, **kwargs))
        return searches[-1]

    monkeypatch.setattr(optimize, "differential_evolution", watched)
    classes = np.tile(CLASSES, 10)
    members = {
        f"m{seed}": np.concatenate([member(0.7, seed=10 * seed + part) for part in range(10)])
        for seed in range(4)
    }
    search_weights(members, classes, seed=0)
    assert len(searches) == FOLDS + 1
    for found in searches:
        assert found.success
        assert np.std(found.population_energies) <= 1


def test_learning_is_never_worse_than_the_mean_on_its_own_faces_and_says_what_it_is_elsewhere():
    """Equal members of pure chance: whatever is learnt is luck, and held-out faces show it."""
    members = {f"m{seed}": member(1 / 3, seed=seed) for seed in range(4)}
    found = search_weights(members, CLASSES, seed=0)
    assert found.fitted >= found.mean
    assert found.held_out < found.fitted
    assert found.held_out < 0.45


def test_of_members_that_are_right_equally_often_the_log_loss_decides():
    sure, unsure = member(1.0, seed=0, sure=0.98), member(1.0, seed=0, sure=0.4)
    found = search_weights({"unsure": unsure, "sure": sure}, CLASSES, seed=0)
    assert found.weights["sure"] > 0.95


def test_the_same_seed_learns_the_same_weights():
    members = {f"m{seed}": member(0.6, seed=seed) for seed in range(3)}
    assert search_weights(members, CLASSES, seed=5) == search_weights(members, CLASSES, seed=5)


def test_too_few_faces_are_refused():
    few = {name: member(0.5, seed=0)[: FOLDS - 1] for name in "ab"}
    with pytest.raises(DataError, match="5 or more faces, got 4"):
        search_weights(few, CLASSES[: FOLDS - 1], seed=0)


def test_members_of_one_name_are_numbered_and_have_the_same_say():
    merged = merge([model(seed=seed) for seed in range(3)])
    assert [network.name for network in merged.config.networks] == ["net", "net_2", "net_3"]
    assert [network.weight for network in merged.config.networks] == pytest.approx([1 / 3] * 3)
    for seed, name in enumerate(merged.weights):
        for key, array in arrays(seed).items():
            np.testing.assert_array_equal(merged.weights[name][key], array)


def test_long_names_stay_legal_when_numbered():
    name = "n" * 64
    merged = merge([model(name)] * 12)
    names = [network.name for network in merged.config.networks]
    assert len(set(names)) == 12
    assert max(map(len, names)) <= 64


def test_an_ensemble_among_the_members_has_the_say_of_one():
    inner = merge([model(seed=seed) for seed in range(2)])
    heavy, light = (
        replace(part, weight=w) for part, w in zip(inner.config.networks, (3.0, 1.0), strict=True)
    )
    inner = replace(inner, config=replace(inner.config, networks=(heavy, light)))
    merged = merge([inner, model(seed=2)])
    assert [part.weight for part in merged.config.networks] == pytest.approx([0.375, 0.125, 0.5])


def test_columns_follow_the_labels_of_the_first_member():
    turned = FER2013[::-1]
    merged = merge([model(), model(seed=1, labels=turned)])
    assert merged.config.labels == FER2013
    features = np.random.default_rng(9).normal(size=(4, 5))
    own = features @ arrays(1)["head/probabilities/kernel"] + arrays(1)["head/probabilities/bias"]
    new = merged.weights["net_2"]
    now = features @ new["head/probabilities/kernel"] + new["head/probabilities/bias"]
    np.testing.assert_allclose(now, own[:, ::-1], rtol=1e-6)


def test_calibration_of_a_member_goes_into_its_weights():
    merged = merge([model(temperature=2.5), model(seed=1)])
    assert merged.config.temperature == 1
    features = np.random.default_rng(9).normal(size=(4, 5))
    old, new = arrays(0), merged.weights["net"]
    own, now = (
        softmax(features @ part["head/probabilities/kernel"] + part["head/probabilities/bias"])
        for part in (old, new)
    )
    np.testing.assert_allclose(now, apply_temperature(own.astype(np.float32), 2.5), atol=1e-6)


def test_graphs_in_int8_do_not_outlive_a_change_of_what_they_hold(caplog):
    def one(precision, **changes):
        made = model(**changes)
        (part,) = made.config.networks
        networks = (replace(part, graph_precision=precision),)
        changed = replace(made.config, networks=networks)
        return replace(made, config=changed, graphs={"net": precision.encode()})

    members = [
        one("float32", temperature=2.5),
        one("int8"),
        one("int8", temperature=2.5),
        one("int8", labels=FER2013[::-1]),
    ]
    merged = merge(members)
    assert merged.graphs == {"net": b"float32", "net_2": b"int8"}
    assert [part.graph_precision for part in merged.config.networks] == [
        "float32", "int8", "float32", "float32",
    ]  # fmt: skip
    said = [record.getMessage() for record in caplog.records]
    assert [text.split()[0] for text in said] == ["net_3", "net_4"]
    assert "Quantise the ensemble instead" in said[0]


def test_members_that_do_not_go_together_are_refused():
    other = model(count=2, labels=("awake", "asleep"))
    with pytest.raises(
        ConfigError, match="same labels: one has awake, asleep, the first has anger"
    ):
        merge([model(), other])
    with pytest.raises(ConfigError, match="at least one member"):
        merge([])
    inner = merge([model(seed=seed) for seed in range(2)])
    with pytest.raises(ConfigError, match="calibrated ensemble"):
        merge([replace(inner, config=replace(inner.config, temperature=2.0))])


def test_weights_without_the_output_layer_are_refused():
    with pytest.raises(WeightsError, match="head/probabilities/kernel of 7 classes"):
        adapt_output({"head/other/kernel": np.zeros((3, 7))}, range(7), 1.0)

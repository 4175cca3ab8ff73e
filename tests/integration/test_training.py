"""Real training runs through EmotionRecognizer.fit."""

import copy
import json
import math
import pickle  # noqa: TID251  what multiprocessing sends is ours
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.conftest import TINY, make_faces
from tests.integration.recognizers import after_every_epoch, mini, untrained_network

from emonet import EmotionRecognizer, FaceDataset, HeadConfig, Phase, Recipe
from emonet.data.augmentation import Augmentation
from emonet.errors import (
    ConfigError,
    DataError,
    ImageError,
    ImageNotFoundError,
    ModelNotFoundError,
    PluginRuntimeError,
    TrainingError,
)
from emonet.labels import FERPLUS
from emonet.model import Model
from emonet.training.batches import Examples, even_size
from emonet.training.host_steps import HostSteps
from emonet.training.loop import _measure_statistics, _warn_of_long_average
from emonet.training.recipes import RECIPES

TRAIN = make_faces(8)
VALID = make_faces(4, seed=1)

States = list[dict[str, np.ndarray]]
HOG = {"bovw": {"landmarks": False}}


pytestmark = pytest.mark.usefixtures("mini_backbone")


def one_phase(*, epochs: int = 3, recipe: Mapping[str, Any] | None = None, **phase) -> Recipe:
    settings = {"optimizer": "adam", "learning_rate": 3e-3, **phase}
    return Recipe(
        name="mini",
        phases=(Phase(epochs=epochs, **settings),),
        **{"batch_size": 14, **(recipe or {})},
    )


def fit(recipe: Recipe, train: FaceDataset = TRAIN, **arguments) -> EmotionRecognizer:
    names = ("features", "head", "labels", "subtract_mean_face")
    described = {name: arguments.pop(name) for name in names if name in arguments}
    arguments = {"validation_data": VALID, **arguments}
    return mini(**described).fit(train, recipe=recipe, **arguments)


def column(recognizer: EmotionRecognizer, name: str) -> list[Any]:
    return [getattr(record, name) for record in recognizer.record.history]


def weights(recognizer: EmotionRecognizer) -> dict[str, np.ndarray]:
    (arrays,) = recognizer.weights.values()
    return arrays


def raw_weights(checkpoints: Path, epoch: int) -> dict[str, np.ndarray]:
    """The weights that training goes on from, as the checkpoint has them."""
    state = load_file(checkpoints / f"last-{epoch:04d}.safetensors")
    return {
        name.removeprefix("model/"): array
        for name, array in state.items()
        if name.startswith("model/")
    }


def fit_with_states(recipe: Recipe, checkpoints: Path) -> tuple[EmotionRecognizer, States]:
    """Fit, and return the raw weights after each epoch as well."""
    states: States = []
    with after_every_epoch(lambda epoch: states.append(raw_weights(checkpoints, epoch))):
        recognizer = fit(recipe, checkpoint_dir=checkpoints)
    return recognizer, states


def validated(recognizer: EmotionRecognizer) -> tuple[float, float]:
    """Loss and accuracy on the validation faces, as every epoch computes them."""
    probabilities = recognizer.predict_proba(VALID.images).astype(np.float64)
    logs = np.log(np.maximum(probabilities, 1e-7))
    loss = float(-(VALID.targets * logs).sum(axis=1).mean())
    return loss, recognizer.evaluate(VALID).accuracy


def equal(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


@pytest.fixture(scope="module")
def plain() -> EmotionRecognizer:
    return fit(one_phase())


@pytest.mark.parametrize(
    ("network", "accuracy"),
    [
        pytest.param({"backbone": "mini"}, 0.6, id="mini"),
        pytest.param(TINY, 0.8, id="resnet18", marks=pytest.mark.slow),
    ],
)
def test_a_network_learns_to_tell_faces_apart(network: dict[str, Any], accuracy: float) -> None:
    recipe = one_phase(epochs=20, recipe={"monitor": "val_accuracy"})
    recognizer = EmotionRecognizer(detector="whole_image", **network).fit(
        make_faces(60), VALID, recipe=recipe
    )
    assert recognizer.evaluate(make_faces(20, seed=7)).accuracy > accuracy
    losses = column(recognizer, "loss")
    assert losses[-1] < losses[0] / 2


def test_fit_returns_the_recognizer_and_records_the_run() -> None:
    recognizer = mini()
    assert recognizer.fit(TRAIN, VALID, recipe=one_phase(epochs=2), seed=3) is recognizer
    record = recognizer.record
    assert record.seed == 3
    assert [epoch.epoch for epoch in record.history] == [1, 2]
    assert (record.data["training"].faces, record.data["validation"].faces) == (56, 28)
    assert record.recipe["phases"][0]["epochs"] == 2


def test_arrays_do_as_well_as_a_dataset(plain: EmotionRecognizer) -> None:
    arrays = mini().fit(
        (TRAIN.images, TRAIN.classes.tolist()), (VALID.images, VALID.classes), recipe=one_phase()
    )
    assert equal(weights(arrays), weights(plain))


# What each phase of this run changes, by kind of weight.
PHASES = ("frozen", "trained", "trained_except_batch_norm", "trained")
CHANGES = {
    "frozen": {"head": True, "kernel": False, "scale": False, "statistics": False},
    "trained": {"head": True, "kernel": True, "scale": True, "statistics": True},
    "trained_except_batch_norm": {
        "head": True,
        "kernel": True,
        "scale": False,
        "statistics": False,
    },
}


def kind_of(name: str) -> str:
    if name.startswith("head/"):
        return "head"
    if name.endswith(("gamma", "beta")):
        return "scale"
    return "statistics" if "moving" in name else "kernel"


@pytest.fixture(scope="module")
def weights_by_epoch(tmp_path_factory: pytest.TempPathFactory) -> States:
    """The initial weights, and those after each of four epochs in four phases."""
    phases = tuple(Phase(epochs=1, backbone=kind, learning_rate=0.01) for kind in PHASES)
    recognizer, states = fit_with_states(
        Recipe(name="phases", phases=phases, batch_size=14), tmp_path_factory.mktemp("phases")
    )
    assert column(recognizer, "phase") == [0, 1, 2, 3]
    return [untrained_network(recognizer).get_weights(), *states]


@pytest.mark.parametrize("index", range(len(PHASES)), ids=lambda index: f"{index}-{PHASES[index]}")
def test_a_phase_changes_only_what_it_trains(weights_by_epoch: States, index: int) -> None:
    before, after = weights_by_epoch[index : index + 2]
    changed: dict[str, set[bool]] = {}
    for name in before:
        changed.setdefault(kind_of(name), set()).add(not np.array_equal(before[name], after[name]))
    assert changed == {kind: {moves} for kind, moves in CHANGES[PHASES[index]].items()}


def regression(recognizer: EmotionRecognizer, train: FaceDataset) -> tuple[np.ndarray, ...]:
    """The untrained backbone's features of the faces, and the untrained head's kernel and bias."""
    network = untrained_network(recognizer)
    rgb = np.repeat(train.images[..., np.newaxis], 3, axis=3).astype(np.float32)
    start = network.get_weights()
    arrays = (
        network.backbone.predict(rgb, verbose=0),
        start["head/probabilities/kernel"],
        start["head/probabilities/bias"],
    )
    return tuple(array.astype(np.float64) for array in arrays)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)


def test_sgd_is_nesterovs_with_decoupled_decay_of_kernels(tmp_path: Path) -> None:
    """Against softmax regression on the frozen backbone's features, written out."""
    rate, momentum, decay, smoothing, steps = 0.01, 0.9, 0.5, 0.1, 3
    recipe = one_phase(
        epochs=steps,
        backbone="frozen",
        optimizer="sgd",
        learning_rate=rate,
        momentum=momentum,
        weight_decay=decay,
        recipe={"batch_size": len(TRAIN), "label_smoothing": smoothing},
    )
    recognizer = fit(recipe, head=HeadConfig(dropout=0.0), checkpoint_dir=tmp_path)
    trained = raw_weights(tmp_path, steps)

    features, kernel, bias = regression(recognizer, TRAIN)
    targets = TRAIN.targets * (1 - smoothing) + smoothing / 7
    speeds = [np.zeros_like(kernel), np.zeros_like(bias)]
    for _ in range(steps):
        error = (softmax(features @ kernel + bias) - targets) / len(targets)
        kernel = kernel * (1 - rate * decay)
        for index, gradient in enumerate((features.T @ error, error.sum(axis=0))):
            speeds[index] = momentum * speeds[index] - rate * gradient
            step = momentum * speeds[index] - rate * gradient
            kernel, bias = (kernel + step, bias) if index == 0 else (kernel, bias + step)
    np.testing.assert_allclose(trained["head/probabilities/kernel"], kernel, atol=2e-5)
    np.testing.assert_allclose(trained["head/probabilities/bias"], bias, atol=2e-5)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_adamw_is_adam_with_decoupled_decay_of_kernels(decay: float, tmp_path: Path) -> None:
    """Against softmax regression on the frozen backbone's features, written out."""
    rate, steps = 0.01, 3
    recipe = one_phase(
        epochs=steps,
        backbone="frozen",
        optimizer="adamw",
        learning_rate=rate,
        weight_decay=decay,
        recipe={"batch_size": len(TRAIN)},
    )
    recognizer = fit(recipe, head=HeadConfig(dropout=0.0), checkpoint_dir=tmp_path)
    trained = raw_weights(tmp_path, steps)

    features, *arrays = regression(recognizer, TRAIN)
    means, squares = [[np.zeros_like(array) for array in arrays] for _ in range(2)]
    for step in range(1, steps + 1):
        error = (softmax(features @ arrays[0] + arrays[1]) - TRAIN.targets) / len(TRAIN)
        arrays[0] = arrays[0] * (1 - rate * decay)
        for index, gradient in enumerate((features.T @ error, error.sum(axis=0))):
            means[index] = 0.9 * means[index] + 0.1 * gradient
            squares[index] = 0.999 * squares[index] + 0.001 * gradient**2
            mean, square = means[index] / (1 - 0.9**step), squares[index] / (1 - 0.999**step)
            arrays[index] = arrays[index] - rate * mean / (np.sqrt(square) + 1e-7)
    np.testing.assert_allclose(trained["head/probabilities/bias"], arrays[1], atol=2e-4)
    # Features that are 0 for almost all faces have gradients so small that rounding decides.
    errors = np.abs(trained["head/probabilities/kernel"] - arrays[0])
    assert np.quantile(errors, 0.95) < 1e-4


def test_faces_of_rare_classes_count_for_more_in_the_loss(tmp_path: Path) -> None:
    """Against one step of weighted softmax regression, written out."""
    rate = 0.01
    rows = np.flatnonzero((TRAIN.classes != 1) | (np.arange(len(TRAIN)) % 4 == 0))
    train = TRAIN.subset(rows)
    assert np.bincount(train.classes).tolist() == [8, 2, 8, 8, 8, 8, 8]
    recipe = one_phase(
        epochs=1,
        backbone="frozen",
        optimizer="sgd",
        learning_rate=rate,
        momentum=0.0,
        recipe={"batch_size": len(train), "class_weight_power": 1.0},
    )
    recognizer = fit(recipe, train, head=HeadConfig(dropout=0.0), checkpoint_dir=tmp_path)
    trained = raw_weights(tmp_path, 1)

    features, kernel, bias = regression(recognizer, train)
    weight = np.where(train.classes == 1, 50 / (7 * 2), 50 / (7 * 8))
    probabilities = softmax(features @ kernel + bias)
    losses = -np.log(probabilities[np.arange(50), train.classes])
    error = weight[:, np.newaxis] * (probabilities - train.targets) / 50
    assert column(recognizer, "loss") == [pytest.approx((weight * losses).mean(), rel=1e-4)]
    assert column(recognizer, "accuracy") == [
        pytest.approx((probabilities.argmax(axis=1) == train.classes).mean())
    ]
    for name, before, gradient in (
        ("head/probabilities/kernel", kernel, features.T @ error),
        ("head/probabilities/bias", bias, error.sum(axis=0)),
    ):
        np.testing.assert_allclose(trained[name], before - rate * gradient, atol=1e-5)
        assert np.abs(rate * gradient).max() > 1e-4


def overlapping(common: int, rare: int, *, seed: int) -> FaceDataset:
    """Two classes that differ by 2 in a contrast whose own deviation is 1.5."""
    random = np.random.default_rng(seed)
    classes = np.repeat([0, 1], [common, rare])
    contrasts = random.normal(np.where(classes == 1, 1, -1), 1.5)
    halves = np.where(np.arange(48) < 24, -1, 1)[:, np.newaxis]
    images = 120 + 12 * contrasts[:, np.newaxis, np.newaxis] * halves
    images = np.clip(images + random.normal(0, 4, (len(classes), 48, 48)), 0, 255)
    return FaceDataset(images.astype(np.uint8), classes, ("common", "rare"))


def test_a_rare_class_is_found_more_often_where_it_counts_for_more() -> None:
    """One of eleven faces is rare; the best of all answers finds 14 % of them, balanced 75 %."""
    train, test = overlapping(400, 40, seed=0), overlapping(200, 200, seed=2)
    recall = {}
    for power in (0.0, 1.0):
        settings = {"batch_size": 44, "class_weight_power": power}
        recipe = one_phase(epochs=4, backbone="frozen", recipe=settings)
        recognizer = fit(
            recipe, train, labels=train.labels, validation_data=overlapping(40, 40, seed=1)
        )
        per_class = recognizer.evaluate(test).per_class
        recall[power] = {label: figures.recall for label, figures in per_class.items()}
    assert recall[1.0]["rare"] > recall[0.0]["rare"] + 0.25
    assert recall[1.0]["common"] < recall[0.0]["common"]


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[EmotionRecognizer, States]:
    return fit_with_states(
        one_phase(epochs=4, recipe={"ema_decay": 0.9}), tmp_path_factory.mktemp("averaged")
    )


def test_training_goes_on_from_the_raw_weights_not_from_their_average(
    averaged: tuple[EmotionRecognizer, States], tmp_path: Path
) -> None:
    recognizer, states = averaged
    plain, plain_states = fit_with_states(one_phase(epochs=4), tmp_path)
    assert column(recognizer, "loss") == column(plain, "loss")
    assert column(recognizer, "accuracy") == column(plain, "accuracy")
    assert all(map(equal, states, plain_states))
    assert column(recognizer, "val_loss") != column(plain, "val_loss")


def test_normalisation_of_the_average_has_statistics_of_its_own(
    averaged: tuple[EmotionRecognizer, States],
) -> None:
    """They are the mean over the training faces of what the kept weights bring there."""
    recognizer, states = averaged
    kept, name = weights(recognizer), "backbone/batch_normalization/moving_mean"
    assert not any(np.array_equal(kept[name], state[name]) for state in states)
    network = untrained_network(recognizer)
    network.set_weights(kept, where="the recognizer")
    (convolution,) = (
        layer for layer in network.backbone.layers if isinstance(layer, keras.layers.Conv2D)
    )
    before = keras.Model(network.backbone.inputs, convolution.output)
    rgb = np.repeat(TRAIN.images[..., np.newaxis], 3, axis=3).astype(np.float32)
    expected = before.predict_on_batch(rgb).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(kept[name], expected, rtol=1e-3, atol=1e-4)


def test_the_average_is_what_is_validated_and_kept(
    averaged: tuple[EmotionRecognizer, States],
) -> None:
    recognizer, states = averaged
    best = int(np.argmin(column(recognizer, "val_loss")))
    kernel = "head/probabilities/kernel"
    kept = weights(recognizer)[kernel]
    assert not any(np.array_equal(kept, state[kernel]) for state in states)
    assert validated(recognizer) == (
        column(recognizer, "val_loss")[best],
        column(recognizer, "val_accuracy")[best],
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"mixup": 0.4},
        {"label_smoothing": 0.1},
        {
            "augmentation": Augmentation(
                horizontal_flip=True, exposure=1, jpeg_compression=0.5, random_erasing=0.5
            )
        },
        {"precision": "bfloat16"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_recipe_with_extras_trains_and_differs(
    plain: EmotionRecognizer, changes: dict[str, Any]
) -> None:
    recognizer = fit(one_phase(recipe=changes))
    losses = column(recognizer, "loss")
    assert all(map(math.isfinite, losses))
    assert losses != column(plain, "loss")
    np.testing.assert_allclose(recognizer.predict_proba(VALID.images).sum(axis=1), 1, rtol=1e-5)


def test_mixing_and_erasing_stop_for_the_calm_epochs(plain: EmotionRecognizer) -> None:
    extras = {"mixup": 0.4, "augmentation": Augmentation(random_erasing=1.0)}
    calm = fit(one_phase(recipe={**extras, "no_mixup_epochs": 3}))
    assert column(calm, "loss") == column(plain, "loss")
    half_calm = fit(one_phase(recipe={**extras, "no_mixup_epochs": 2}))
    assert column(half_calm, "loss")[0] != column(plain, "loss")[0]


def test_bfloat16_keeps_float32_weights() -> None:
    recognizer = fit(one_phase(), precision="bfloat16")
    assert {str(array.dtype) for array in weights(recognizer).values()} == {"float32"}
    assert recognizer.record.recipe["precision"] == "bfloat16"


def test_cosine_rises_to_its_peak_and_ends_at_nothing() -> None:
    recipe = one_phase(
        epochs=6, optimizer="sgd", learning_rate=0.05, schedule="cosine", warmup_epochs=2
    )
    rates = column(fit(recipe), "learning_rate")
    assert rates[0] == pytest.approx(0.025)
    assert rates[1] == pytest.approx(0.05)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[3] == pytest.approx(0.025, rel=1e-3)
    assert abs(rates[-1]) < 1e-7


# Too small a rate to move a float32 weight that is not 0: nothing improves after the first.
STILL = {"backbone": "frozen", "optimizer": "sgd", "learning_rate": 1e-30}


def test_patience_ends_a_phase_and_the_next_begins() -> None:
    recipe = Recipe(
        name="patient",
        phases=(
            Phase(epochs=20, patience=2, **STILL),
            Phase(epochs=1, learning_rate=0.01),
        ),
        batch_size=14,
    )
    assert column(fit(recipe), "phase") == [0, 0, 0, 1]


def test_plateau_halves_the_rate_that_is_used() -> None:
    recipe = one_phase(epochs=6, schedule="plateau", plateau_patience=2, **STILL)
    assert np.array(column(fit(recipe), "learning_rate")) / 1e-30 == pytest.approx(
        [1, 1, 1, 0.5, 0.5, 0.25]
    )


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
def test_the_kept_weights_are_the_best_epochs(monitor: str) -> None:
    recipe = one_phase(epochs=12, learning_rate=0.03, recipe={"monitor": monitor})
    recognizer = fit(recipe)
    figures = np.array(column(recognizer, monitor)) * (-1 if monitor == "val_loss" else 1)
    best = int(figures.argmax())
    assert best < 11, "the run must get worse at its end for this test to tell anything"
    assert validated(recognizer) == (
        column(recognizer, "val_loss")[best],
        column(recognizer, "val_accuracy")[best],
    )


def test_divergence_is_an_error_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    recipe = Recipe(
        name="steep",
        phases=(Phase(epochs=1, learning_rate=0.01), Phase(epochs=5, learning_rate=3e38)),
        batch_size=14,
    )
    with pytest.raises(TrainingError, match=r"diverged in epoch 2.*learning rate \(now 3e\+38\)"):
        fit(recipe, checkpoint_dir=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "best-0001.safetensors",
        "last-0001.safetensors",
        "state.json",
    }
    assert len(json.loads((tmp_path / "state.json").read_text())["history"]) == 1
    assert all(np.isfinite(array).all() for array in raw_weights(tmp_path, 1).values())


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoints = tmp_path_factory.mktemp("finished")
    fit(one_phase(epochs=2), checkpoint_dir=checkpoints)
    return checkpoints


@pytest.mark.parametrize(
    ("differing", "changes"),
    [
        ("seed", {"seed": 1}),
        ("recipe", {"recipe": one_phase(epochs=3)}),
        ("data", {"train": make_faces(8, seed=9)}),
        ("data", {"validation_data": make_faces(4, seed=9)}),
        ("network", {"head": HeadConfig(units=(8,))}),
        ("network", {"subtract_mean_face": True}),
        ("network", {"features": {"bovw": {"landmarks": False}}}),
    ],
    ids=["seed", "recipe", "training", "validation", "head", "subtract_mean_face", "features"],
)
def test_another_runs_checkpoints_are_refused(
    finished_run: Path, differing: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match=f"holds a run with another {differing};") as caught:
        fit(**{"recipe": one_phase(epochs=2), **changes}, checkpoint_dir=finished_run)
    assert str(finished_run) in str(caught.value)


def test_all_that_differs_is_named(finished_run: Path) -> None:
    with pytest.raises(TrainingError, match="another recipe, seed;"):
        fit(one_phase(), seed=1, checkpoint_dir=finished_run)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{}",
        b'{"identity": {}}',
        b'{"identity": [], "history": []}',
        b'{"identity": {}, "history": [{"epoch": 1}]}',
        b'{"identity": {}, "history": 5}',
    ],
    ids=str,
)
def test_a_damaged_state_is_an_error(finished_run: Path, tmp_path: Path, text: bytes) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "copy")
    (folder / "state.json").write_bytes(text)
    with pytest.raises(TrainingError, match=r"state\.json can't be read .*delete"):
        fit(one_phase(epochs=2), checkpoint_dir=folder)


@pytest.mark.parametrize("kind", ["last", "best"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "gone"])
def test_damaged_arrays_are_an_error(
    finished_run: Path, tmp_path: Path, kind: str, damage: str
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "copy")
    (file,) = folder.glob(f"{kind}-*.safetensors")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-100] if damage == "cut" else b"garbage")
    with pytest.raises(TrainingError, match=f"{file.name} can't be read"):
        fit(one_phase(epochs=2), checkpoint_dir=folder)


def without_class(dataset: FaceDataset, kind: int) -> FaceDataset:
    return dataset.subset(np.flatnonzero(dataset.classes != kind))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": without_class(TRAIN, 2)}, "No face of class fear"),
        (
            {"train": replace(TRAIN, labels=FERPLUS)},
            "have the labels neutral, .*'s labels: anger",
        ),
        ({"validation_data": replace(VALID, labels=FERPLUS)}, "have the labels neutral"),
        ({"train": make_faces(8, size=64)}, r"recognizer needs \(48, 48\)"),
        ({"validation_data": make_faces(4, size=64)}, r"\(64, 64\) pixels"),
        ({"validation_data": VALID.subset(np.array([], np.int64))}, "validat"),
        ({"train": make_faces(1), "validation_data": None}, r"Cannot hold out"),
    ],
    ids=[
        "missing class",
        "other labels",
        "other validation labels",
        "other size",
        "other validation size",
        "no validation faces",
        "too few to hold out",
    ],
)
def test_unusable_data_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(one_phase(epochs=1), **arguments)


def test_a_class_that_only_the_validation_faces_lack_is_no_error() -> None:
    recognizer = fit(one_phase(epochs=1), validation_data=without_class(VALID, 2))
    assert column(recognizer, "epoch") == [1]


def test_a_tenth_is_held_out_where_there_are_no_validation_data() -> None:
    train = make_faces(10)
    recognizer = fit(one_phase(epochs=1), train, validation_data=None)
    data = recognizer.record.data
    assert (data["training"].faces, data["validation"].faces) == (63, 7)
    # One of each class, so that every accuracy is a number of sevenths.
    (accuracy,) = column(recognizer, "val_accuracy")
    assert accuracy * 7 == pytest.approx(round(accuracy * 7))


def test_hog_features_train_together_with_the_backbone(tmp_path: Path) -> None:
    settings = {"augmentation": Augmentation(horizontal_flip=True), "mixup": 0.2}
    recipe = one_phase(epochs=8, recipe=settings)
    recognizer = fit(recipe, features=HOG)
    assert recognizer.evaluate(VALID).accuracy > 0.4
    recognizer.save_pretrained(tmp_path)
    again = EmotionRecognizer.from_pretrained(tmp_path)
    np.testing.assert_allclose(
        again.predict_proba(VALID.images), recognizer.predict_proba(VALID.images), atol=1e-4
    )


def test_centring_subtracts_the_training_sets_mean_face() -> None:
    recognizer = fit(one_phase(epochs=1), subtract_mean_face=True)
    mean_face = weights(recognizer)["head/mean_centring/mean_face"]
    np.testing.assert_allclose(mean_face, TRAIN.images.mean(axis=0), rtol=1e-6)


def test_fitting_again_forgets_the_first_time(plain: EmotionRecognizer) -> None:
    recognizer = mini()
    recognizer.fit(make_faces(3, seed=5), VALID, recipe=one_phase(epochs=1), seed=4)
    recognizer.predict_proba(VALID.images)
    recognizer.fit(TRAIN, VALID, recipe=one_phase())
    assert np.array_equal(recognizer.predict_proba(VALID.images), plain.predict_proba(VALID.images))
    assert equal(weights(recognizer), weights(plain))
    timeless = [
        replace(run.record, history=tuple(replace(r, seconds=0) for r in run.record.history))
        for run in (recognizer, plain)
    ]
    assert timeless[0] == timeless[1]
    assert recognizer.config == plain.config


def test_another_seed_gives_other_weights(plain: EmotionRecognizer) -> None:
    assert column(fit(one_phase(), seed=1), "loss") != column(plain, "loss")


def test_a_detector_whose_boxes_are_crops_already_leaves_no_framing(
    plain: EmotionRecognizer,
) -> None:
    # Else it would be taken as the framing of other detectors, too: the first that is listed.
    assert plain.config.framing == {}


def test_what_would_fail_after_training_fails_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise PluginRuntimeError("no camera")

    data = make_faces(2)
    nowhere = {"model_path": str(tmp_path / "no.onnx")}
    with pytest.raises(ModelNotFoundError, match="model_path"):
        EmotionRecognizer(**{**TINY, "detector": "yunet"}, detector_config=nowhere).fit(
            data, data, checkpoint_dir=tmp_path / "run"
        )
    numbers = FaceDataset(data.images, data.classes, tuple(range(7)))
    with pytest.raises(ConfigError, match=r"labels"):
        EmotionRecognizer(**TINY, labels=range(7)).fit(
            numbers, numbers, checkpoint_dir=tmp_path / "run"
        )
    with pytest.raises(ConfigError, match="fit: seed must be a whole number"):
        EmotionRecognizer(**TINY).fit(data, data, seed=-1, checkpoint_dir=tmp_path / "run")
    monkeypatch.setattr("emonet.recognizer.measure_framing", fail)
    with pytest.raises(PluginRuntimeError, match="no camera"):
        EmotionRecognizer(**TINY).fit(data, data, checkpoint_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "abc"}, "labels must be a list of names, got 'abc'"),
        ({"face_size": 48}, r"face_size must be \[height, width\], got 48"),
        ({"features": "bovw"}, "features must be a list of names, got 'bovw'"),
        ({"head": {"units": [64]}}, "head must be a HeadConfig, got {'units'"),
    ],
)
def test_a_recognizer_of_the_wrong_types_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmotionRecognizer("resnet18", **options)


def test_a_recognizer_like_another_has_its_choices(tiny_recognizer: EmotionRecognizer) -> None:
    other = EmotionRecognizer("resnet50", pretrained=True)
    assert EmotionRecognizer.like(other)._pretrained
    with pytest.raises(ConfigError, match="labels must be a list of names, got 'sad'"):
        EmotionRecognizer.like(tiny_recognizer, labels="sad")
    with pytest.raises(ConfigError, match="like takes loaded recognizers, got 'fast'"):
        EmotionRecognizer.like("fast")


@pytest.mark.parametrize(("size", "count", "expected"), [(64, 64, 64), (64, 63, 62), (63, 99, 62)])
def test_no_batch_is_odd(size: int, count: int, expected: int) -> None:
    assert even_size(size, count) == expected


@pytest.mark.parametrize("colour", [False, True], ids=["float", "colour"])
def test_framing_is_measured_on_faces_in_any_form(
    tiny_recognizer: EmotionRecognizer, colour: bool
) -> None:
    faces = make_faces(1).images
    given = list(np.repeat(faces[..., np.newaxis], 3, axis=3)) if colour else faces / 255
    copy = EmotionRecognizer.like(tiny_recognizer).measure_framing(faces)
    assert EmotionRecognizer.like(tiny_recognizer).measure_framing(given).config == copy.config


def test_training_anew_says_what_it_forgets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    once = EmotionRecognizer(**TINY).fit(TRAIN, VALID, recipe=one_phase(epochs=1))
    assert "replaces the present ones" not in caplog.text
    once.fit(TRAIN, VALID, recipe=one_phase(epochs=1), start_from=once)
    assert "replaces the present ones" not in caplog.text
    once.fit(TRAIN, VALID, recipe=one_phase(epochs=1))
    assert "replaces the present ones. Pass start_from=recognizer" in caplog.text


def test_what_was_evaluated_is_noted_and_nothing_else(tiny_recognizer: EmotionRecognizer) -> None:
    report = tiny_recognizer.evaluate(VALID)
    for given in ((3, report), ("x", 0.7), ("x", report.to_dict()), ("x", report, 0.1)):
        with pytest.raises(ConfigError, match="note_evaluation takes a split's name, a Report"):
            tiny_recognizer.note_evaluation(*given)


def test_faces_that_can_not_be_read_are_numbered(tiny_recognizer: EmotionRecognizer) -> None:
    with pytest.raises(ImageError, match="Face 1: The image in memory is not in a supported"):
        tiny_recognizer.predict_proba([VALID.images[0], b"no picture"])
    with pytest.raises(ImageNotFoundError, match=r"Face 0: No image file at no\.png"):
        tiny_recognizer.predict_proba(["no.png"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_a_recognizer_can_be_copied_and_sent(tiny_recognizer: EmotionRecognizer, copied) -> None:
    said = tiny_recognizer.predict_proba(VALID.images)
    assert tiny_recognizer.predict(np.zeros((60, 60), np.uint8)).faces == ()
    other = copied(tiny_recognizer)
    assert np.array_equal(other.predict_proba(VALID.images), said)
    assert other.predict(np.zeros((60, 60), np.uint8)).faces == ()
    assert other.config == tiny_recognizer.config
    assert other.record == tiny_recognizer.record


def test_faces_without_classes_are_no_labelled_data(tiny_recognizer: EmotionRecognizer) -> None:
    with pytest.raises(
        DataError, match=r"FaceDataset, a datasets\.Dataset or \(images, classes\), got ndarray"
    ):
        tiny_recognizer.evaluate(make_faces(1).images)


def test_a_recognizer_is_printed_in_one_line(tiny_recognizer: EmotionRecognizer) -> None:
    assert str(tiny_recognizer) == "EmotionRecognizer(resnet18; 7 labels, detector dlib_hog)"
    untrained = EmotionRecognizer("vgg", HOG, labels=("yes", "no"), detector="whole_image")
    assert (
        str(untrained) == "EmotionRecognizer(vgg_bovw; 2 labels, detector whole_image, not fitted)"
    )
    both = EmotionRecognizer.ensemble([tiny_recognizer, tiny_recognizer])
    assert str(both).startswith("EmotionRecognizer(resnet18, resnet18_2; 7 labels")


@pytest.mark.parametrize("backbone", ["frozen", "trained"])
def test_a_head_alone_on_random_weights_is_warned_of(
    backbone: str, caplog: pytest.LogCaptureFixture
) -> None:
    fit(one_phase(epochs=1, backbone=backbone))
    warned = any("the backbone has random weights" in record.message for record in caplog.records)
    assert warned == (backbone == "frozen")


def test_what_is_no_recognizer_neither_teaches_nor_begins() -> None:
    for part in ({"teacher": "default"}, {"start_from": "default"}):
        with pytest.raises(ConfigError, match="fit takes loaded recognizers, got 'default'"):
            fit(one_phase(epochs=1), **part)


def test_statistics_do_not_depend_on_the_order_of_the_faces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Folders come class by class; batches of one class vary less than all faces do."""
    monkeypatch.setattr("emonet.training.loop.STATISTICS_BATCHES", 7)
    network = untrained_network(mini())
    faces = np.repeat(np.linspace(0, 255, 7).astype(np.uint8), 8)  # a brightness for each class
    faces = np.broadcast_to(faces[:, None, None], (56, 48, 48))
    name = "backbone/batch_normalization/moving_variance"
    found = []
    for order in (np.arange(56), np.random.default_rng(0).permutation(56)):
        examples = Examples(np.ascontiguousarray(faces[order]), np.zeros((56, 7), np.float32))
        steps = HostSteps(network.model, one_phase(epochs=1), examples)
        _measure_statistics(network.model, examples, 8, steps)
        found.append(network.get_weights()[name])
    np.testing.assert_allclose(*found, rtol=0.5)


def test_a_run_goes_on_with_another_release_of_its_plugin(tmp_path: Path) -> None:
    recipe = one_phase(epochs=2)
    first = fit(recipe, checkpoint_dir=tmp_path)
    (network,) = first.config.networks
    backbone = replace(network.backbone, distribution_version="9.9")
    config = replace(first.config, networks=(replace(network, backbone=backbone),))
    again = EmotionRecognizer._of(Model(config=config))
    again.fit(TRAIN, VALID, recipe=recipe, checkpoint_dir=tmp_path)
    assert again.record.history == first.record.history


def test_votes_are_what_is_learnt() -> None:
    everyone = np.full((len(TRAIN), 7), 1 / 7, np.float32)
    recipe = one_phase(epochs=2)
    undecided = fit(recipe, replace(TRAIN, votes=everyone))
    decided = fit(recipe)
    assert column(undecided, "loss")[0] != column(decided, "loss")[0]
    surest = [
        model.predict_proba(TRAIN.images).max(axis=1).mean() for model in (undecided, decided)
    ]
    assert surest[0] < surest[1]


def test_an_average_that_is_longer_than_the_run_is_told(caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_long_average(RECIPES["scratch"], 28709)
    _warn_of_long_average(replace(RECIPES["scratch"].with_epochs(2), ema_decay=0.0), 252)
    assert caplog.text == ""
    _warn_of_long_average(RECIPES["scratch"], 252)
    assert "Weight averaging spans 500 steps, but this run has 64" in caplog.text
    assert "--recipe-option ema_decay=0.84" in caplog.text

"""Sharpness-aware minimisation: the step of the paper, and whole trainings with it."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from tests.conftest import make_faces

from emonet import EmotionRecognizer, HeadConfig, Phase
from emonet.assembly.networks import build_network
from emonet.data.augmentation import Augmentation
from emonet.errors import ConfigError
from emonet.training import sharpness
from emonet.training.batches import Examples
from emonet.training.loop import compile_phase, make_steps
from emonet.training.recipes import get_recipe

RHO, RATE, FACES = 0.5, 0.1, 70
#: One step on one batch, without randomness.
STEP = replace(
    get_recipe("scratch"),
    phases=(Phase(epochs=1, learning_rate=RATE, momentum=0.0),),
    augmentation=Augmentation(),
    batch_size=FACES,
    mixup=0.0,
    ema_decay=0.0,
)


def examples() -> Examples:
    faces = make_faces(10)
    weights = np.linspace(0.5, 1.5, FACES, dtype=np.float32)
    return Examples(faces.images, faces.targets, weights=weights)


def copied(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.asarray(variable).copy() for variable in variables]


def take_step(
    *, rate: float, rho: float = 0.0, start: list[np.ndarray] | None = None
) -> dict[str, Any]:
    """Return the loss, the trained weights before and after, and batch normalisation's means."""
    config = EmotionRecognizer("mini", head=HeadConfig(dropout=0.0)).config.networks[0]
    model = (network := build_network(config, num_classes=7, seed=0)).model
    recipe = replace(STEP, sam_rho=rho, phases=(replace(STEP.phases[0], learning_rate=rate),))
    compile_phase(network, recipe.phases[0], recipe, count=FACES)
    if start is not None:
        for variable, value in zip(model.trainable_variables, start, strict=True):
            variable.assign(value)
    before = copied(model.trainable_variables)
    loss, _ = make_steps(model, recipe, examples()).run_epoch(
        seed=0, epoch=0, unmixed=True, title="", callback=keras.callbacks.Callback()
    )
    return {
        "loss": loss,
        "before": before,
        "after": copied(model.trainable_variables),
        "means": copied([v for v in model.non_trainable_variables if "moving_mean" in v.path]),
    }


def check_step_of_the_paper() -> None:
    """Compare with plain steps at a rate of 1, whose difference is the gradient."""
    plain = take_step(rate=1.0)
    start = plain["before"]
    gradient = [w - new for w, new in zip(start, plain["after"], strict=True)]
    norm = np.sqrt(sum(np.sum(np.square(part)) for part in gradient))
    uphill = take_step(
        rate=1.0, start=[w + RHO * part / norm for w, part in zip(start, gradient, strict=True)]
    )
    moves = [RATE * (w - new) for w, new in zip(uphill["before"], uphill["after"], strict=True)]
    found = take_step(rate=RATE, rho=RHO)
    for before, move, after in zip(start, moves, found["after"], strict=True):
        np.testing.assert_allclose(after, before - move, atol=2e-5)
    assert max(np.abs(m - RATE * g).max() for m, g in zip(moves, gradient, strict=True)) > 1e-3
    # Loss and statistics are those of the original weights.
    np.testing.assert_allclose(found["loss"], plain["loss"], rtol=1e-5)
    for mean, expected, other in zip(found["means"], plain["means"], uphill["means"], strict=True):
        np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(mean - other).max() > 1e-4


def check_learning() -> None:
    recipe = get_recipe("scratch", epochs=4).with_settings({"sam_rho": 0.05, "ema_decay": 0.5})
    recipe = replace(recipe, batch_size=32)
    recognizer = EmotionRecognizer("mini", detector="whole_image")
    recognizer.fit(make_faces(30), make_faces(4, seed=1), recipe=recipe)
    history = recognizer.record.history
    assert recognizer.record.recipe["sam_rho"] == 0.05
    assert history[-1].loss < history[0].loss


def test_a_step_is_the_step_of_the_paper(mini_backbone: None) -> None:
    check_step_of_the_paper()


def test_a_network_learns_with_it(mini_backbone: None) -> None:
    check_learning()


def test_it_leaves_the_model_as_it_was(mini_backbone: None) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    usual = model.train_step
    with sharpness.sharpness_aware(model, 0.1):
        assert model.train_step != usual
    assert model.train_step == usual


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with (
        pytest.raises(ConfigError, match="sam_rho needs batches made on the device"),
        sharpness.sharpness_aware(model, 0.1),
    ):
        pass

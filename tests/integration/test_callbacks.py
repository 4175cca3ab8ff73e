"""Keras callbacks see one run, whatever phases and epochs it consists of."""

import csv
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.recognizers import after_every_epoch, mini

from emonet import EmotionRecognizer, Phase, Recipe

TRAIN = make_faces(8)
VALID = make_faces(4, seed=1)
STEPS = len(TRAIN) // 14
RECIPE = Recipe(
    name="phases",
    phases=(
        Phase(epochs=2, backbone="frozen", optimizer="adam", learning_rate=3e-3),
        Phase(epochs=1, optimizer="sgd", learning_rate=1e-3),
    ),
    batch_size=14,
    ema_decay=0.5,
)

pytestmark = pytest.mark.usefixtures("mini_backbone")


class Recorder(keras.callbacks.Callback):
    """Notes every event of training, its number and its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, int | None]] = []
        self.logs: list[dict[str, float]] = []
        self.batch_logs: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        assert isinstance(self.model, keras.Model)
        self.events.append(("train begins", None))

    def on_train_end(self, logs: Any = None) -> None:
        self.events.append(("train ends", None))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.events.append(("epoch begins", epoch))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(("epoch ends", epoch))
        self.logs.append(dict(logs))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.events.append(("batch begins", batch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.events.append(("batch ends", batch))
        self.batch_logs.append({name: float(value) for name, value in logs.items()})


def run_of(*epochs: int) -> list[tuple[str, int | None]]:
    """What a callback sees of a run of these epochs."""
    seen: list[tuple[str, int | None]] = [("train begins", None)]
    for epoch in epochs:
        seen.append(("epoch begins", epoch))
        for batch in range(STEPS):
            seen += [("batch begins", batch), ("batch ends", batch)]
        seen.append(("epoch ends", epoch))
    return [*seen, ("train ends", None)]


def fit(*callbacks: keras.callbacks.Callback, recipe: Recipe = RECIPE, **settings: Any):
    return mini().fit(TRAIN, VALID, recipe=recipe, callbacks=callbacks, **settings)


def figures(recognizer: EmotionRecognizer) -> list[dict[str, float]]:
    """What the record has of every epoch, but for its number and phase."""
    history = map(asdict, recognizer.record.history)
    return [{k: v for k, v in row.items() if k not in ("epoch", "phase")} for row in history]


def test_several_phases_are_one_run() -> None:
    recorder = Recorder()
    recognizer = fit(recorder)
    assert recorder.events == run_of(0, 1, 2)
    assert recorder.params["epochs"] == 3
    assert [epoch.phase for epoch in recognizer.record.history] == [0, 0, 1]
    assert recorder.logs == figures(recognizer)
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert all(names <= logs.keys() for logs in recorder.logs)
    assert len(recorder.batch_logs) == 3 * STEPS
    assert all({"loss", "accuracy"} <= logs.keys() for logs in recorder.batch_logs)
    # Keras tells the mean over the epoch so far.
    last = recorder.batch_logs[STEPS - 1 :: STEPS]
    losses = [epoch.loss for epoch in recognizer.record.history]
    assert [logs["loss"] for logs in last] == pytest.approx(losses, rel=1e-5)


def test_callbacks_that_only_look_change_nothing() -> None:
    (watched,), (alone,) = fit(Recorder()).weights.values(), fit().weights.values()
    assert watched.keys() == alone.keys()
    for name, array in alone.items():
        np.testing.assert_array_equal(watched[name], array, err_msg=name)


@pytest.mark.parametrize("at", ["epoch end", "batch end"])
def test_a_callback_ends_the_run(at: str) -> None:
    class Stopping(Recorder):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            if at == "epoch end":
                self.model.stop_training = True

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            super().on_train_batch_end(batch, logs)
            if at == "batch end" and batch == STEPS - 1:
                self.model.stop_training = True

    recorder = Stopping()
    recognizer = fit(recorder)
    assert recorder.events == run_of(0)
    assert [epoch.epoch for epoch in recognizer.record.history] == [1]
    assert recognizer.predict_proba(VALID.images).shape == (len(VALID), 7)


def test_stopping_ends_one_run_and_not_the_next() -> None:
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", True)
    )
    assert len(fit(stop).record.history) == 1
    assert len(fit().record.history) == 3


def test_keras_stops_early_by_the_figures_of_validation() -> None:
    still = Phase(epochs=9, backbone="frozen", optimizer="sgd", learning_rate=1e-30)
    early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=2)
    recognizer = fit(early, recipe=replace(RECIPE, phases=(still, still), ema_decay=0.0))
    assert len(recognizer.record.history) == 3


def test_a_csv_file_has_every_epoch(tmp_path: Path) -> None:
    recognizer = fit(keras.callbacks.CSVLogger(tmp_path / "log.csv"))
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("epoch") for row in rows] == ["0", "1", "2"]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == [
        pytest.approx(expected) for expected in figures(recognizer)
    ]


def test_a_resumed_run_counts_on(tmp_path: Path) -> None:
    def interrupt(epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), after_every_epoch(interrupt):
        fit(checkpoint_dir=tmp_path)
    recorder = Recorder()
    fit(recorder, checkpoint_dir=tmp_path)
    assert recorder.events == run_of(2)

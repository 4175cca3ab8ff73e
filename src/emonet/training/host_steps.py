"""Training steps on batches from the host, with Keras' ``fit``, on any backend."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from emonet.support.progress import progress_bar
from emonet.training.batches import Examples, TrainingBatches
from emonet.training.normalisation import fused_normalisation
from emonet.training.recipes import Recipe
from emonet.training.sharpness import sharpness_aware


class HostSteps:
    """Train a compiled model; threads make the batches."""

    def __init__(self, model: keras.Model, recipe: Recipe, train: Examples) -> None:
        self._model = model
        self._recipe = recipe
        self._train = train

    def run_epoch(
        self,
        *,
        seed: int,
        epoch: int,
        unmixed: bool,
        title: str,
        callback: keras.callbacks.Callback,
    ) -> tuple[float, float]:
        """Train on every batch; return the mean loss and accuracy.

        Args:
            seed: seed of shuffling and augmentation.
            epoch: number of the epoch, from 0.
            unmixed: omit mixup and random erasing.
            title: title of the progress bar.
            callback: gets the events of each batch.
        """
        recipe, augmentation = self._recipe, self._recipe.augmentation
        batches = TrainingBatches(
            self._train,
            batch_size=recipe.batch_size,
            augmentation=replace(augmentation, random_erasing=0.0) if unmixed else augmentation,
            mixup=0.0 if unmixed else recipe.mixup,
            seed=seed,
            epoch=epoch,
        )
        raw: list[NDArray[Any]] = []
        model = self._model
        with (
            progress_bar(title, len(batches)) as advance,
            fused_normalisation(model),
            sharpness_aware(model, recipe.sam_rho),
        ):
            watch = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: advance(),
                on_epoch_end=lambda epoch, logs: raw.extend(map(np.array, model.get_weights())),
            )
            fitted = model.fit(batches, shuffle=False, verbose=0, callbacks=[watch, callback])
        # fit ends with averaged weights; training continues with the raw ones.
        model.set_weights(raw)
        return fitted.history["loss"][-1], fitted.history["accuracy"][-1]

    def update_statistics(self, inputs: Sequence[NDArray[np.float32]]) -> None:
        """Run a batch forward, so that batch normalisation updates its statistics."""
        with fused_normalisation(self._model):
            self._model(list(inputs), training=True)

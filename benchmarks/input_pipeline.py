"""What a training batch costs before the network sees it, against the network's own step."""

from itertools import cycle

import numpy as np

import emonet
from benchmarks.timing import milliseconds

BATCH = 128


def run(*, quick: bool) -> dict:
    """Return milliseconds of input and of step for ``resnet18``, recipe ``scratch``."""
    import keras

    from emonet.composition import build_network
    from emonet.registry.catalog import get_catalog
    from emonet.training.batches import Examples, TrainingBatches

    recipe = emonet.RECIPES["scratch"]
    random = np.random.default_rng(0)
    examples = Examples(
        faces=random.integers(0, 256, (16 * BATCH, 48, 48), dtype=np.uint8),
        targets=np.eye(7, dtype=np.float32)[random.integers(0, 7, 16 * BATCH)],
    )
    batches = TrainingBatches(
        examples,
        batch_size=BATCH,
        augmentation=recipe.augmentation,
        label_smoothing=recipe.label_smoothing,
        mixup=recipe.mixup,
        seed=0,
        epoch=0,
    )
    config = emonet.EmotionRecognizer("resnet18").config
    network = build_network(get_catalog(), config.networks[0], num_classes=7, seed=0)
    network.model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), loss="categorical_crossentropy"
    )
    faces, targets = batches[0]
    repeat = 2 if quick else 20
    indices = cycle(range(len(batches)))
    made = milliseconds(lambda: batches[next(indices)], repeat=repeat)
    step = milliseconds(lambda: network.model.train_on_batch(list(faces), targets), repeat=repeat)
    return {
        "batch_size": BATCH,
        "input_ms": made,
        "step_ms": step,
        "share": made["median"] / step["median"],
    }

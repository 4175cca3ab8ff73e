"""Recognizers for tests that need no sensible answers, and what training says as it goes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.conftest import TINY

from emonet import EmotionRecognizer
from emonet.assembly.networks import build_network
from emonet.network.network import KerasNetwork


def mini(**options) -> EmotionRecognizer:
    """Describe one of the fixture mini_backbone; without framing, whose measuring takes long."""
    return EmotionRecognizer("mini", detector="whole_image", **options)


def untrained_network(recognizer: EmotionRecognizer, seed: int = 0) -> KerasNetwork:
    """Build a recognizer's only network with the weights that training starts from."""
    (config,) = recognizer.config.networks
    return build_network(config, num_classes=len(recognizer.labels), seed=seed)


def with_random_weights(recognizer: EmotionRecognizer, seed: int = 0) -> EmotionRecognizer:
    """Give a recognizer initial weights: what it says then is arbitrary, but its own."""
    (config,) = recognizer.config.networks
    weights = {config.name: untrained_network(recognizer, seed).get_weights()}
    return recognizer._become(replace(recognizer.model, weights=weights))


def random_tiny(seed: int, **options) -> EmotionRecognizer:
    """Return a small resnet18 with random weights."""
    return with_random_weights(EmotionRecognizer(**TINY, **options), seed)


@contextmanager
def watching(act: Callable[[str], None]) -> Iterator[None]:
    """Call for every message that emonet logs."""

    class Watcher(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            act(record.getMessage())

    logger, watcher = logging.getLogger("emonet"), Watcher()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(watcher)
    try:
        yield
    finally:
        logger.removeHandler(watcher)
        logger.setLevel(level)


@contextmanager
def after_every_epoch(act: Callable[[int], None]) -> Iterator[None]:
    """Call with the number of each finished epoch, when its checkpoint is on the disk."""

    def heard(message: str) -> None:
        if message.startswith("epoch "):
            act(int(message.split()[1].split("/")[0]))

    with watching(heard):
        yield

"""Keras and TensorFlow without the lines that they write while they start."""

import logging
import os
import sys

from emonet.network.keras_start import start_keras
from emonet.recognizer import EmotionRecognizer

__all__ = ["import_keras_quietly", "prepare"]


def prepare(recognizer: EmotionRecognizer) -> None:
    """Import Keras now, quietly, if some network of the recognizer will be run by it."""
    if "keras" in recognizer.runtimes.values():
        import_keras_quietly()


def import_keras_quietly() -> None:
    """Import Keras now, with the process's standard error switched off meanwhile.

    TensorFlow's C++ code writes there before it can be told not to. With ``--debug`` it may.
    """
    if "keras" in sys.modules or logging.getLogger("emonet").isEnabledFor(logging.DEBUG):
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        start_keras()
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)

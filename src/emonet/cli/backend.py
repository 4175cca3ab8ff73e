"""Import Keras and TensorFlow without their start-up messages."""

import logging
import sys

from emonet.recognizer import EmotionRecognizer
from emonet.runtimes.keras_runtime import start_keras
from emonet.support.quiet import without_stderr


def prepare(recognizer: EmotionRecognizer) -> None:
    """Import Keras quietly if it runs a network of the recognizer."""
    if "keras" in recognizer.runtimes.values():
        import_keras_quietly()


def import_keras_quietly() -> None:
    """Import Keras with the process's standard error switched off.

    TensorFlow's C++ code writes there before it reads any setting. ``--debug`` shows its lines.
    """
    if "keras" in sys.modules or logging.getLogger("emonet").isEnabledFor(logging.DEBUG):
        return
    with without_stderr():
        start_keras()

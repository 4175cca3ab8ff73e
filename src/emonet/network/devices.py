"""Keras, started so that it leaves room for others on a GPU."""

import sys

__all__ = ["start_keras"]


def start_keras() -> None:
    """Import Keras; where emonet is the first to use TensorFlow, let its memory grow as needed.

    TensorFlow takes all memory of every GPU otherwise. Whoever started it before has chosen.
    """
    first = "tensorflow" not in sys.modules
    import keras

    if first and keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # Keras has no setting for it

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)

"""Keras, started so that it leaves room for others on a GPU."""

import sys

from emonet.errors import ConfigError, MissingDependencyError

__all__ = ["start_keras"]


def start_keras() -> None:
    """Import Keras; where emonet is the first to use TensorFlow, let its memory grow as needed.

    TensorFlow takes all memory of every GPU otherwise. Whoever started it before has chosen.

    Raises:
        MissingDependencyError: its backend is not installed.
        ConfigError: it has no such backend.
    """
    first = "tensorflow" not in sys.modules
    try:
        import keras
    except ImportError as error:
        raise MissingDependencyError(
            f"Keras can't be imported ({error}): install the backend that KERAS_BACKEND or "
            f"keras.json names, or name another"
        ) from error
    except ValueError as error:
        raise ConfigError(f"Keras can't be imported: {error}; see KERAS_BACKEND") from error

    if first and keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # Keras has no setting for it

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)

"""Train on several devices of one machine: each gets an equal part of every batch."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from emonet.errors import ConfigError
from emonet.plugin import require_number
from emonet.training.batches import even_size

logger = logging.getLogger("emonet")

Devices = int | Literal["all"]


@contextmanager
def on_devices(devices: Devices | None) -> Iterator[None]:
    """Copy networks that are built inside the ``with`` block to several devices.

    This is Keras' data parallelism: a step computes the same as on one device.

    Args:
        devices: number of devices, ``"all"``, or None for one device, as Keras chooses it.

    Raises:
        ConfigError: Keras does not run on JAX, or there are fewer devices.
    """
    if devices is None:
        yield
        return
    if devices != "all":
        require_number("fit", "devices", devices, 1, whole=True)
    import keras

    if (backend := keras.backend.backend()) != "jax":
        raise ConfigError(
            f"Training on several devices needs Keras on JAX, and Keras runs on {backend}. Install "
            f"emonet[jax] and set KERAS_BACKEND=jax, or omit devices (--devices)"
        )
    found = keras.distribution.list_devices()
    chosen = found if devices == "all" else found[:devices]
    if devices != "all" and len(chosen) < devices:
        raise ConfigError(f"devices is {devices}, and JAX finds {len(found)}: {', '.join(found)}")
    logger.info("Training on %s", ", ".join(chosen))
    with keras.distribution.DataParallel(devices=chosen).scope():
        yield


def require_equal_parts(batch_size: int, faces: int) -> None:
    """Raise ConfigError if the devices can't share a batch equally."""
    import keras

    distribution = keras.distribution.distribution()
    if distribution is None:
        return
    devices, size = distribution.device_mesh.devices.size, even_size(batch_size, faces)
    if size % devices:
        raise ConfigError(
            f"A batch of {size} faces can't be divided into {devices} equal parts. Choose a batch "
            f"size that is a multiple of {devices} (--recipe-option batch_size=...), or other "
            f"devices"
        )

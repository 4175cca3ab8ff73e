"""Peak speed of the machine, measured with a large matrix product."""

from functools import lru_cache
from typing import Literal

from benchmarks.timing import measure

LARGEST = {"CPU": 4096, "GPU": 8192}
SMALL = 512


@lru_cache
def peak_flops_per_s(
    precision: str, *, quick: bool, device: Literal["CPU", "GPU"] | None = None
) -> float:
    """Return the floating-point operations per second of the fastest of several products.

    In float32, a GPU may round the factors (TensorFloat-32), as it does for networks.

    Args:
        precision: data type of the factors.
        quick: use small factors.
        device: device of the product; None takes a GPU if there is one.
    """
    import tensorflow as tf

    device = device or ("GPU" if tf.config.list_physical_devices("GPU") else "CPU")
    side = SMALL if quick else LARGEST[device]
    with tf.device(device):
        factor = tf.cast(tf.random.uniform((side, side)), precision)
        product = tf.function(lambda: tf.matmul(factor, factor)[0, 0])
        # Fetching a number waits for the device.
        best = measure(lambda: product().numpy(), runs=10, seconds=10)["ms_min"]
    return 2 * side**3 / (best / 1000)

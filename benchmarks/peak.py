"""Peak speed of the machine, measured with a large matrix product."""

from functools import lru_cache

import numpy as np

from benchmarks.devices import Kind, as_array, compiled, default_kind, on_device
from benchmarks.timing import measure

LARGEST = {"CPU": 4096, "GPU": 8192}
SMALL = 512


@lru_cache
def peak_flops_per_s(precision: str, *, quick: bool, device: Kind | None = None) -> float:
    """Return the floating-point operations per second of the fastest of several products.

    In float32, a GPU may round the factors (TensorFloat-32), as it does for networks.

    Args:
        precision: data type of the factors.
        quick: use small factors.
        device: device of the product; None takes a GPU if there is one.
    """
    import keras

    kind = device or default_kind()
    side = SMALL if quick else LARGEST[kind]
    with keras.device(f"{kind.lower()}:0"):
        factor = on_device(np.random.default_rng(0).random((side, side), np.float32), precision)
        product = compiled(lambda factor: keras.ops.matmul(factor, factor)[0, :1])
        # Fetching one number waits for the device. TensorFlow can't convert a bfloat16 scalar.
        best = measure(lambda: as_array(product(factor)), runs=10, seconds=10)["ms_min"]
    return 2 * side**3 / (best / 1000)

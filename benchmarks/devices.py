"""Memory of the first GPU, if there is one. Call these functions after loading TensorFlow."""


def reset_gpu_peak() -> None:
    """Reset the peak of GPU memory."""
    if _gpu():
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")


def gpu_peak_mib() -> float | None:
    """Return the peak of GPU memory since the last reset, in MiB; None without a GPU."""
    if not _gpu():
        return None
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20


def _gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))

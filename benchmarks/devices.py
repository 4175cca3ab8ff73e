"""The first GPU's memory, where there is one; TensorFlow is loaded already when this is asked."""


def reset_gpu_peak() -> None:
    """Start to watch for a new peak."""
    if _gpu():
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")


def gpu_peak_mib() -> float | None:
    """Return what was in use at most on the GPU since the last reset; None without one."""
    if not _gpu():
        return None
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20


def _gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))

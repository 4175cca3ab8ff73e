"""Count the floating-point operations of a Keras model."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def flops_per_face(model: "keras.Model") -> int:
    """Return a model's operations per face; a multiplication with an addition counts as two."""
    import tensorflow as tf

    inputs = [tf.TensorSpec((1, *part.shape[1:]), part.dtype) for part in model.inputs]
    function = tf.function(lambda *faces: model(list(faces), training=False))
    graph = function.get_concrete_function(*inputs).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the profiler uses deprecated TensorFlow functions
    try:
        return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
    finally:
        logger.setLevel(level)

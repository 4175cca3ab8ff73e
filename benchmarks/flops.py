"""Count the floating-point operations of a Keras model."""

import logging
from typing import TYPE_CHECKING

from benchmarks.devices import backend

if TYPE_CHECKING:
    import keras


def flops_per_face(model: "keras.Model") -> int:
    """Return a model's operations per face; a multiplication with an addition counts as two."""
    if backend() == "jax":
        return _flops_of_xla(model)
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


def _flops_of_xla(model: "keras.Model") -> int:
    import jax

    def infer(trained: list, others: list, faces: list):
        return model.stateless_call(trained, others, faces, training=False)[0]

    faces = [jax.ShapeDtypeStruct((1, *part.shape[1:]), part.dtype) for part in model.inputs]
    trained, others = (
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    return int(jax.jit(infer).lower(trained, others, faces).cost_analysis()["flops"])

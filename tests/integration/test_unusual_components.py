"""Components with parts that the built-in ones lack are trained, saved and loaded like those."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import offering
from tests.integration.recognizers import with_random_weights

from emonet import EmotionRecognizer, Phase, Recipe
from emonet.errors import ConfigError, ExportError
from emonet.plugin import BackboneSpec, FeatureExtractorSpec
from emonet.registry.catalog import Kind

FACES = make_faces(2)
RECIPE = Recipe(name="mini", phases=(Phase(epochs=2, learning_rate=0.01),), batch_size=14)


class Scale(keras.layers.Layer):
    """One factor for all: a weight without dimensions."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

    def call(self, inputs):
        return inputs * self.factor


def backbone(first: keras.layers.Layer):
    pixels = keras.Input((48, 48, 3))
    x = keras.layers.Conv2D(4, 5, strides=4)(first(pixels))
    return keras.Model(pixels, keras.layers.Flatten()(x))


@pytest.fixture
def scaled() -> Iterator[EmotionRecognizer]:
    spec = BackboneSpec(
        name="scaled", build=lambda config, *, pretrained: backbone(Scale()), input_size=(48, 48)
    )
    with offering(Kind.BACKBONE, spec):
        yield EmotionRecognizer("scaled", detector="whole_image")


@pytest.fixture
def normalised() -> Iterator[EmotionRecognizer]:
    """Its statistics are constants, which the converter to ONNX takes for inputs."""

    def build(config, *, pretrained):
        return backbone(keras.layers.Normalization(mean=[127.0] * 3, variance=[4096.0] * 3))

    spec = BackboneSpec(name="normalised", build=build, input_size=(48, 48))
    with offering(Kind.BACKBONE, spec):
        yield with_random_weights(EmotionRecognizer("normalised", detector="whole_image"))


def assert_saved(recognizer: EmotionRecognizer, folder: Path, runtime: str) -> None:
    recognizer.save_pretrained(folder)
    loaded = EmotionRecognizer.from_pretrained(folder)
    assert set(loaded.runtimes.values()) == {runtime}
    answers = loaded.predict_proba(FACES.images)
    np.testing.assert_allclose(answers, recognizer.predict_proba(FACES.images), atol=1e-4)


def test_a_weight_without_dimensions_is_kept(scaled: EmotionRecognizer, tmp_path: Path) -> None:
    arguments = {"recipe": RECIPE, "checkpoint_dir": tmp_path / "checkpoints"}
    scaled.fit(FACES, FACES, **arguments)
    expected = scaled.predict_proba(FACES.images)
    assert_saved(scaled, tmp_path / "model", "onnxruntime")
    # The run is finished; called again, it takes the best epoch from its checkpoint.
    np.testing.assert_array_equal(
        scaled.fit(FACES, FACES, **arguments).predict_proba(FACES.images), expected
    )


def test_constants_that_onnx_takes_for_inputs_leave_keras_to_run_it(
    normalised: EmotionRecognizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert_saved(normalised, tmp_path / "model", "keras")
    assert "has no graph; Keras will run it" in caplog.text
    with pytest.raises(ExportError, match="can't export normalised to ONNX"):
        normalised.export(tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


class Precise:
    """A feature extractor whose state no float32 holds."""

    num_features = 1

    def __init__(self):
        self.state = {"shift": np.full(1, 1 + 1e-9), "count": np.array(3.0)}

    def transform(self, images):
        return np.full((len(images), 1), self.state["count"], np.float32)

    def get_state(self):
        return self.state

    def set_state(self, state):
        self.state = dict(state)


@pytest.mark.usefixtures("mini_backbone")
@pytest.mark.parametrize("name", ["faces", "fused", "probabilities", "rgb"])
def test_an_extractor_may_have_any_name_and_keeps_its_state(name: str, tmp_path: Path) -> None:
    spec = FeatureExtractorSpec(name=name, build=lambda config: Precise())
    with offering(Kind.FEATURE_EXTRACTOR, spec):
        recognizer = EmotionRecognizer("resnet18", [name], backbone_config={"width": 4})
        with_random_weights(recognizer).save_pretrained(tmp_path, dtype="float16")
        ((_, arrays),) = EmotionRecognizer.from_pretrained(tmp_path).weights.items()
    shift, count = (arrays[f"features/{name}/{key}"] for key in ("shift", "count"))
    assert shift.dtype == np.float64
    assert (shift[0], float(count)) == (1 + 1e-9, 3.0)


def test_settings_that_could_not_be_read_again_are_refused_before_training() -> None:
    spec = BackboneSpec(
        name="listed",
        build=lambda config, *, pretrained: backbone(Scale()),
        input_size=(48, 48),
        defaults={"values": []},
    )
    with offering(Kind.BACKBONE, spec):
        many = EmotionRecognizer("listed", backbone_config={"values": list(range(99_999))})
        with pytest.raises(ConfigError, match="emonet reads up to 262144"):
            many.fit(FACES, FACES, recipe=RECIPE)

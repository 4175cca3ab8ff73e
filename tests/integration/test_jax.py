"""Keras on JAX: ``nox -s jax`` runs these with KERAS_BACKEND=jax."""

import keras
import numpy as np
import pytest
from tests.conftest import make_faces

from emonet import EmotionRecognizer
from emonet.training.recipes import get_recipe

pytestmark = [
    pytest.mark.jax,
    # Keras 3.15 with JAX 0.10 and NumPy 2.4: not ours to mend.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

FACES = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)


@pytest.fixture(autouse=True)
def _on_jax():
    assert keras.backend.backend() == "jax", "set KERAS_BACKEND=jax"


def test_bundled_model_predicts_as_onnxruntime_does():
    reference = EmotionRecognizer.from_pretrained(runtime="keras")
    fast = EmotionRecognizer.from_pretrained(runtime="onnxruntime")
    np.testing.assert_allclose(reference.predict_proba(FACES), fast.predict_proba(FACES), atol=1e-4)


BALANCED = get_recipe("scratch").with_settings({"class_weight_power": 1.0})


@pytest.mark.parametrize(
    "recipe", ["scratch", "paper", BALANCED], ids=["scratch", "paper", "balanced"]
)
def test_a_network_is_trained_saved_and_loaded(recipe, mini_backbone, tmp_path):
    train, valid = make_faces(20), make_faces(4, seed=1)
    recognizer = EmotionRecognizer("mini").fit(train, valid, recipe=recipe, epochs=3)
    assert len(recognizer.record.history) == 3
    recognizer.save_pretrained(tmp_path)
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(FACES), recognizer.predict_proba(FACES))


def test_a_run_goes_on_where_it_was_interrupted(mini_backbone, tmp_path, monkeypatch):
    train, valid = make_faces(20), make_faces(4, seed=1)
    whole = EmotionRecognizer("mini").fit(train, valid, epochs=3, seed=3)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    from emonet.training import loop

    run_epoch = loop._run_epoch
    monkeypatch.setattr(
        loop,
        "_run_epoch",
        lambda *a: interrupted() if len(a[-2]) == 1 else run_epoch(*a),
    )
    with pytest.raises(KeyboardInterrupt):
        EmotionRecognizer("mini").fit(train, valid, epochs=3, seed=3, checkpoint_dir=tmp_path)
    monkeypatch.undo()
    parts = EmotionRecognizer("mini").fit(train, valid, epochs=3, seed=3, checkpoint_dir=tmp_path)
    assert get_recipe("scratch", epochs=3).epochs == len(parts.record.history)
    for name, array in whole.weights["mini"].items():
        np.testing.assert_allclose(parts.weights["mini"][name], array, atol=1e-6)

"""The bundled models give the answers that their published figures were measured with.

Weights and graphs are pinned by digest, and the settings that change answers by value. The
probabilities come from the commit before the models' configs were converted to today's names.
"""

import numpy as np
import pytest
from tests.conftest import make_faces

from emonet import EmotionRecognizer

FILES = {
    "default": {
        "resnet18.onnx": "027db5964920335ffa30f841a5f1ce61830a0e883cebdc8079430f650920e664",
        "resnet18_2.onnx": "cc0b54c962d0cf83abaea625af0aa03ac6ecf6f70714593e2433317e9c854643",
        "resnet18_3.onnx": "66c5e09e58ac3f1bc2fd86f256590ff59fde7dd6b4231e36bc0e290d5d9feef2",
        "resnet18.safetensors": "95b924941027e2a9457d86aab392d8642db1e196e4c874f3e0cd32a815f51e97",
        "resnet18_2.safetensors": (
            "4b702253e66657947bcbe13af1f71d169140e319d97fe1bfed07c8bcb8d1341e"
        ),
        "resnet18_3.safetensors": (
            "bb98091197943bfe7af5e69eca05f70364383142719496344da751b88ed9fc20"
        ),
    },
    "fast": {
        "resnet18.onnx": "66c5e09e58ac3f1bc2fd86f256590ff59fde7dd6b4231e36bc0e290d5d9feef2",
        "resnet18.safetensors": "bb98091197943bfe7af5e69eca05f70364383142719496344da751b88ed9fc20",
    },
    "tiny": {
        "resnet18.onnx": "d173c5dc56537f4bf2a0cbdd15e50d0877c9bdd2a1f7e929b972dba11d932f9d",
        "resnet18.safetensors": "58ca1b10fd8ae960cf8e45e5b77487fcbbef8bf7552eddd57169fedb1412a1eb",
    },
}
SETTINGS = {
    "default": (0.9877735638994286, "horizontal_flip", (1 / 3, 1 / 3, 1 / 3)),
    "fast": (1.0881939782404928, "none", (1.0,)),
    "tiny": (1.0247945997835157, "none", (1.0,)),
}
#: Of the first three faces; int8 differs more between processors, and is pinned by its digest.
PROBABILITIES = {
    "default": (
        (0.048345, 0.006635, 0.440053, 0.039377, 0.311205, 0.061749, 0.092635),
        (0.045575, 0.006315, 0.535808, 0.029956, 0.098631, 0.161446, 0.122270),
        (0.200891, 0.019950, 0.256016, 0.016542, 0.105440, 0.098422, 0.302740),
    ),
    "fast": (
        (0.058929, 0.008597, 0.490370, 0.042340, 0.264586, 0.095560, 0.039617),
        (0.075615, 0.010761, 0.432138, 0.051556, 0.137703, 0.189067, 0.103160),
        (0.276474, 0.020104, 0.405548, 0.017837, 0.054605, 0.171981, 0.053450),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_weights_and_settings_are_unchanged(name: str) -> None:
    config = EmotionRecognizer.from_pretrained(name).config
    assert dict(config.files) == FILES[name]
    temperature, views, weights = SETTINGS[name]
    assert (config.temperature, config.test_time_augmentation) == (temperature, views)
    assert [part.weight for part in config.networks] == pytest.approx(weights)
    assert not any(part.subtract_mean_face for part in config.networks)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_answers_are_unchanged(name: str) -> None:
    faces = make_faces(1, seed=3).images[:3]
    answers = EmotionRecognizer.from_pretrained(name).predict_proba(faces)
    # Processors add in different orders; on one machine, the difference is below 1e-6.
    np.testing.assert_allclose(answers, PROBABILITIES[name], atol=2e-5)

"""Plugins as source, with a place for a fault."""


def backbone(body: str, *, spec: str = "", before: str = "") -> str:
    """Write a plugin with a backbone of 8x8 pixels; ``x`` is its features before ``body``."""
    return f"""
import numpy as np
{before}
def build_acme(config, *, pretrained):
    import keras
    from keras import layers
    pixels = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(pixels))
    {body}
    return keras.Model(pixels, x)

@hookimpl
def emonet_register_backbones():
    return [BackboneSpec(name="acme", build=build_acme, input_size=(8, 8), {spec})]
"""


def extractor(transform: str, *, members: str = "", spec: str = "", before: str = "") -> str:
    """Write a plugin with a feature extractor of two features."""
    return f"""
import numpy as np
{before}
class Acme:
    num_features = 2
    state = None
    def transform(self, images):
        means = images.mean(axis=(1, 2))
        vectors = np.stack([means, images.std(axis=(1, 2))], axis=1).astype(np.float32)
        {transform}
    def get_state(self):
        return {{}}
    def set_state(self, state):
        pass
    {members}

def build_acme(config):
    return Acme()

@hookimpl
def emonet_register_feature_extractors():
    return [FeatureExtractorSpec(name="acme", build=build_acme, {spec})]
"""


def detector(detect: str, *, spec: str = "", before: str = "") -> str:
    """Write a plugin with a detector; ``whole`` is a box around the whole image."""
    return f"""
import numpy as np
from emonet.plugin import Box, Detection
{before}
class Acme:
    calls = 0
    def detect(self, image):
        height, width = image.shape[:2]
        whole = Box(0, 0, width, height)
        self.calls += 1
        {detect}

def build_acme(config):
    return Acme()

@hookimpl
def emonet_register_detectors():
    return [DetectorSpec(name="acme", build=build_acme, {spec})]
"""

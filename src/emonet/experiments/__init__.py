"""Reproduce the EmoNet paper from data to tables: four networks and their ensemble.

"EmoNet: Facial Expression Recognition using Deep Learning Techniques" trains
Inception-ResNet-v2 (from ImageNet) and ResNet-50 (from VGGFace2), each on pixels alone and on
pixels with BOVW, and fits the ensemble's weights on the validation split.
"""

from emonet.experiments.paper import SCALES, VARIANTS, Scale, Variant
from emonet.experiments.reproduction import reproduce

__all__ = ["SCALES", "VARIANTS", "Scale", "Variant", "reproduce"]

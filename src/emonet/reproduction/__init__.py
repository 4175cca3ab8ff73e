"""The seed paper's experiment from data to tables: four networks and their ensemble.

"EmoNet: Facial Expression Recognition using Deep Learning Techniques" trains
Inception-ResNet-v2 (from ImageNet) and ResNet-50 (from VGGFace2), each on pixels alone and on
pixels with BOVW, and learns the weights of all four on the validation split.
"""

from emonet.reproduction.experiment import SCALES, VARIANTS, Scale, Variant
from emonet.reproduction.run import reproduce

__all__ = ["SCALES", "VARIANTS", "Scale", "Variant", "reproduce"]

"""Maps of the effects that parts of a feature vector have."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from emonet.results import Box, FeatureEffect


def is_point(effect: FeatureEffect) -> bool:
    """Return whether the part is a point, such as a landmark."""
    return not (effect.box.width or effect.box.height)


def spread(
    effects: Iterable[FeatureEffect], label: str, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return a float32 (height, width) map whose sum is the sum of effects on a label.

    Each effect is spread evenly over its box; an effect at a point belongs to one pixel. Points
    outside the crop belong to the closest pixel.
    """
    height, width = size
    values = np.zeros(size)
    for one in effects:
        box = Box(one.box.x - 0.5, one.box.y - 0.5, 1, 1) if is_point(one) else one.box
        x, y, across, down = (int(side) for side in box.clipped(width, height))
        values[y : y + down, x : x + across] += one.effects[label] / (across * down)
    return values.astype(np.float32)

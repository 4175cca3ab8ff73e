"""Maps of the effects that parts of a feature vector have."""

import numpy as np
import pytest

from emonet import Box, FeatureEffect
from emonet.explain.features import spread


def effect(box: Box, value: float) -> FeatureEffect:
    return FeatureEffect(extractor="hog", name=str(box), box=box, effects={"joy": value, "fear": 9})


def test_an_effect_is_spread_evenly_over_its_box():
    values = spread([effect(Box(10, 20, 5, 4), 1.0)], "joy", (48, 40))
    assert values.shape == (48, 40)
    assert values.dtype == np.float32
    assert values[20:24, 10:15] == pytest.approx(1 / 20)
    assert values.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "y", "pixel"),
    [
        (10.5, 20.5, (20, 10)),
        (10.0, 20.99, (20, 10)),
        (0, 0, (0, 0)),
        (-7, 99, (47, 0)),
        (40, 48, (47, 39)),
    ],
)
def test_a_point_belongs_to_one_pixel_of_the_crop(x, y, pixel):
    values = spread([effect(Box(x, y, 0, 0), -0.5)], "joy", (48, 40))
    assert values[pixel] == -0.5
    assert np.count_nonzero(values) == 1


def test_effects_add_up():
    boxes = [Box(0, 0, 24, 24), Box(12, 12, 24, 24), Box(20, 20, 0, 0)]
    values = spread([effect(box, 0.25) for box in boxes], "joy", (48, 48))
    assert values.sum() == pytest.approx(0.75)
    assert values[20, 20] == pytest.approx(0.25 + 2 * 0.25 / 576)

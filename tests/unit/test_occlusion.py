"""Occlusion maps of a classifier whose reasons are known."""

import numpy as np

from emonet.explain.occlusion import occlusion_maps

FACE = np.full((48, 60), 100, np.uint8)
FACE[10:18, 40:48] = 250


def sees_the_spot(faces: np.ndarray) -> np.ndarray:
    """Class 1 is as probable as the spot is bright."""
    spot = (faces[:, 10:18, 40:48].mean(axis=(1, 2)) - 100) / 150
    return np.stack([1 - spot, spot], axis=1).astype(np.float32)


def test_the_reason_stands_out():
    (speaks_for,) = occlusion_maps(sees_the_spot, [FACE], [1], masks=300, seed=0)
    assert speaks_for.shape == (48, 60)
    assert speaks_for.dtype == np.float32
    assert speaks_for[10:18, 40:48].min() > 3 * np.abs(speaks_for[:, :25]).max()
    (against,) = occlusion_maps(sees_the_spot, [FACE], [0], masks=300, seed=0)
    assert np.allclose(against, -speaks_for, atol=1e-5)


def test_a_seed_gives_the_same_maps_whatever_the_other_faces():
    (alone,) = occlusion_maps(sees_the_spot, [FACE], [1], masks=150, seed=3)
    _, second = occlusion_maps(sees_the_spot, [FACE[::-1], FACE], [0, 1], masks=150, seed=3)
    assert (alone == second).all()
    (other,) = occlusion_maps(sees_the_spot, [FACE], [1], masks=150, seed=4)
    assert not np.allclose(alone, other)
    assert occlusion_maps(sees_the_spot, [], [], masks=150, seed=0) == []

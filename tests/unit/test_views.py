"""The views that test-time augmentation averages over."""

import numpy as np
import pytest

from emonet.network.views import shifted, views

FACES = np.random.default_rng(0).integers(0, 256, (3, 48, 40), dtype=np.uint8)


def test_none_is_the_faces_themselves():
    (only,) = views(FACES, "none")
    assert only is FACES


def test_mirror_adds_the_mirrored_faces():
    first, second = views(FACES, "horizontal_flip")
    np.testing.assert_array_equal(first, FACES)
    np.testing.assert_array_equal(second, FACES[:, :, ::-1])


def test_shift_adds_both_in_four_directions():
    found = list(views(FACES, "shift"))
    assert len(found) == 10
    for plain, mirrored in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    up, down, left, right = found[2::2]
    np.testing.assert_array_equal(found[0], FACES)
    np.testing.assert_array_equal(up[:, :-2], FACES[:, 2:])
    np.testing.assert_array_equal(down[:, 2:], FACES[:, :-2])
    np.testing.assert_array_equal(left[:, :, :-2], FACES[:, :, 2:])
    np.testing.assert_array_equal(right[:, :, 2:], FACES[:, :, :-2])


def test_the_edge_is_repeated():
    for moved, old, new in (
        (shifted(FACES, -1, 0), FACES[:, -1:], np.s_[:, -3:]),
        (shifted(FACES, 1, 0), FACES[:, :1], np.s_[:, :3]),
        (shifted(FACES, 0, -1), FACES[:, :, -1:], np.s_[:, :, -3:]),
        (shifted(FACES, 0, 1), FACES[:, :, :1], np.s_[:, :, :3]),
    ):
        edge = moved[new]
        np.testing.assert_array_equal(edge, np.broadcast_to(old, edge.shape))


@pytest.mark.parametrize(("side", "pixels"), [(8, 1), (24, 1), (48, 2), (96, 4), (224, 9)])
def test_the_shift_grows_with_the_face(side, pixels):
    face = np.arange(side, dtype=np.uint8).reshape(1, 1, side).repeat(side, axis=1)
    np.testing.assert_array_equal(shifted(face, 0, 1)[0, 0, pixels:], face[0, 0, :-pixels])
    np.testing.assert_array_equal(shifted(face, -1, 0), face)


@pytest.mark.parametrize("augmentation", ["none", "horizontal_flip", "shift"])
def test_views_keep_form_and_leave_the_faces_alone(augmentation):
    before = FACES.copy()
    for view in views(FACES, augmentation):
        assert (view.dtype, view.shape) == (np.uint8, FACES.shape)
        assert view.flags.c_contiguous
    np.testing.assert_array_equal(FACES, before)
    assert all(len(view) == 0 for view in views(FACES[:0], augmentation))

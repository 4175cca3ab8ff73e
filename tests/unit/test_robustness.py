"""What is done to faces to see whether a recognizer minds, and how it is counted."""

import json

import numpy as np
import pytest
from tests.conftest import make_faces

from emonet.errors import DataError
from emonet.evaluation.robustness import CHANGES, measure_robustness

FACES = make_faces(2).images


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("size", [(48, 48), (20, 33)])
def test_a_change_keeps_the_form_and_leaves_the_faces_alone(name, size):
    faces = FACES[:, : size[0], : size[1]].copy()
    before = faces.copy()
    changed = CHANGES[name](faces)
    assert (changed.dtype, changed.shape) == (np.uint8, faces.shape)
    assert (changed != faces).any() or (name == "24 px and back" and max(size) <= 24)
    np.testing.assert_array_equal(faces, before)


def test_shifts_go_where_they_say():
    dot = np.zeros((1, 48, 48), np.uint8)
    dot[0, 20, 30] = 255
    places = {
        name: tuple(np.argwhere(change(dot)[0])[0])
        for name, change in CHANGES.items()
        if name.startswith("shifted")
    }
    assert places == {
        "shifted up 2 px": (18, 30),
        "shifted down 2 px": (22, 30),
        "shifted left 2 px": (20, 28),
        "shifted right 2 px": (20, 32),
    }


@pytest.mark.parametrize(("name", "sign"), [("left", 1), ("right", -1)])
def test_rotations_turn_about_the_centre_by_15_degrees(name, sign):
    bar = np.zeros((1, 49, 49), np.uint8)
    bar[0, 24] = 255
    turned = CHANGES[f"rotated 15 degrees {name}"](bar)[0]
    assert turned[24, 24] > 200
    rows, columns = np.nonzero(turned > 128)
    # Rows count downwards, so a turn to the left raises the right end.
    slope = np.polyfit(columns, rows, 1)[0]
    assert np.degrees(np.arctan(slope)) == pytest.approx(-15 * sign, abs=0.7)


def test_brightness_is_halved_doubled_and_clipped():
    grey = np.array([[[0, 10, 100, 127, 128, 255]]], np.uint8)
    np.testing.assert_array_equal(CHANGES["half the brightness"](grey), [[[0, 5, 50, 64, 64, 128]]])
    np.testing.assert_array_equal(
        CHANGES["twice the brightness"](grey), [[[0, 20, 200, 254, 255, 255]]]
    )


def test_jpeg_and_coarseness_blur_without_changing_the_whole():
    for name in ("JPEG quality 30", "24 px and back"):
        changed = CHANGES[name](FACES).astype(float)
        gap = np.abs(changed - FACES).mean()
        assert 0.5 < gap < 15
        np.testing.assert_allclose(changed.mean(axis=(1, 2)), FACES.mean(axis=(1, 2)), atol=1.5)
    flat = np.full((1, 48, 48), 90, np.uint8)
    np.testing.assert_array_equal(CHANGES["24 px and back"](flat), flat)
    checks = np.indices((48, 48)).sum(axis=0).astype(np.uint8)[np.newaxis] % 2 * 200
    assert np.ptp(CHANGES["24 px and back"](checks)) <= 1


def test_accuracies_and_drops_are_those_of_the_changed_faces():
    """A classifier by brightness: lighting matters to it, moving does not."""
    faces = np.concatenate(
        [np.full((6, 48, 48), 60, np.uint8), np.full((4, 48, 48), 180, np.uint8)]
    )
    classes = np.repeat([0, 1], [6, 4])
    calls = []

    def by_brightness(images):
        bright = images.mean(axis=(1, 2)) > 100
        return np.stack([~bright, bright], axis=1).astype(np.float32)

    found = measure_robustness(by_brightness, faces, classes, advance=lambda: calls.append(1))
    assert len(calls) == 1 + len(CHANGES)
    assert (found.n, found.unchanged) == (10, 1.0)
    expected = dict.fromkeys(CHANGES, 1.0)
    expected |= {"half the brightness": 0.6, "twice the brightness": 0.4}
    assert found.changed == expected
    assert found.drop("half the brightness") == pytest.approx(40)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["changed"]["twice the brightness"] == {
        "accuracy": 0.4,
        "drop": pytest.approx(60),
    }
    with pytest.raises(DataError, match="0 faces"):
        measure_robustness(by_brightness, faces[:0], classes[:0])

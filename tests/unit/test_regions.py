"""Regions of a face, with and without landmarks."""

import numpy as np
import pytest

from emonet.explain.regions import REGIONS, TEMPLATE, find_regions, region_shares
from emonet.results import FaceCrop

SIDE = 48
#: The crop covers a square of 96 pixels at (100, 50) of its image.
MATRIX = np.array([[2, 0, 100.5], [0, 2, 50.5]])
CROP = FaceCrop(np.zeros((SIDE, SIDE), np.uint8), MATRIX)
LANDMARKS = np.array([99.5, 49.5]) + 96 * TEMPLATE
LEFT_EYE, NOSE, MOUTH = (18, 15), (28, 24), (37, 24)  # row, column


def name_at(regions: np.ndarray, place: tuple[int, int]) -> str:
    return REGIONS[regions[place]]


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether regions are equal but for some pixels on their borders."""
    return (one != other).mean() < 0.02


def as_68(five: np.ndarray) -> np.ndarray:
    """Return 68 landmarks with these eyes, nose and corners of the mouth; the rest at 0."""
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48], points[30], points[48], points[54] = five
    return points


@pytest.mark.parametrize("landmarks", [None, LANDMARKS, as_68(LANDMARKS)])
def test_every_region_has_its_place(landmarks):
    regions = find_regions(CROP, landmarks)
    assert set(np.unique(regions)) == set(range(len(REGIONS)))
    assert name_at(regions, LEFT_EYE) == "eyes"
    assert name_at(regions, NOSE) == "nose"
    assert name_at(regions, MOUTH) == "mouth"
    assert name_at(regions, (8, 24)) == "brows"
    assert name_at(regions, (27, 10)) == name_at(regions, (27, 37)) == "cheeks"
    assert {name_at(regions, (y, x)) for y in (0, 47) for x in (0, 47)} == {"outside"}
    assert alike(regions, regions[:, ::-1])


def test_regions_follow_landmarks_that_move_turn_and_grow():
    shifted = find_regions(CROP, LANDMARKS + np.array([8, 0]))  # 4 pixels of the crop
    assert alike(shifted[:, 4:], find_regions(CROP, LANDMARKS)[:, :-4])
    centre = np.array([99.5, 49.5]) + 96 * np.array([0.5, 0.5])
    upside_down = find_regions(CROP, 2 * centre - LANDMARKS)
    assert alike(upside_down, find_regions(CROP, LANDMARKS)[::-1, ::-1])
    small = find_regions(CROP, centre + (LANDMARKS - centre) / 2)
    assert (small == REGIONS.index("outside")).sum() > 1.5 * (
        find_regions(CROP, LANDMARKS) == REGIONS.index("outside")
    ).sum()


@pytest.mark.parametrize(
    "landmarks",
    [np.zeros((5, 2)), np.full((5, 2), np.nan), np.ones((6, 2)), np.zeros((0, 2))],
)
def test_landmarks_without_use_count_as_none(landmarks):
    assert (find_regions(CROP, landmarks) == find_regions(CROP, None)).all()


def test_shares_are_of_positive_values_and_sum_to_1():
    values = np.full((SIDE, SIDE), -5, np.float32)
    values[MOUTH], values[NOSE] = 3, 1
    shares = region_shares(values, CROP, None)
    assert tuple(shares) == REGIONS
    assert shares["mouth"] == 0.75
    assert shares["nose"] == 0.25
    assert sum(shares.values()) == 1
    assert set(region_shares(-np.abs(values), CROP, None).values()) == {0.0}

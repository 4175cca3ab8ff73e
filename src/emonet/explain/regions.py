"""Regions of a face: brows, eyes, nose, mouth, cheeks and outside."""

import numpy as np
from numpy.typing import NDArray

from emonet.results import FaceCrop

#: Where five landmarks lie in FER-2013's faces, as parts of the crop's width and height: the eyes,
#: the tip of the nose, and the corners of the mouth. YuNet's medians on 564 PublicTest faces,
#: made symmetric.
TEMPLATE = np.array([(0.317, 0.378), (0.683, 0.378), (0.5, 0.596), (0.353, 0.749), (0.647, 0.749)])
#: The same five points of 68 landmarks in iBUG's order: each is the mean of some of them.
POINTS_OF_68 = (range(36, 42), range(42, 48), (30,), (48,), (54,))

#: The unit is the distance between the eyes; the origin is the point between them.
ORIGIN = TEMPLATE[:2].mean(axis=0)
UNIT = TEMPLATE[1, 0] - TEMPLATE[0, 0]
#: The face is an ellipse: its centre below the origin, and its half axes.
CENTRE, HALF_WIDTH, HALF_HEIGHT = 0.38, 1.12, 1.48
#: Heights of the lower borders of brows, eyes and nose.
BROWS, EYES, NOSE = -0.22, 0.25, 0.72
#: Half widths of nose and mouth.
NOSE_WIDTH, MOUTH_WIDTH = 0.33, 0.62

REGIONS = ("brows", "eyes", "nose", "mouth", "cheeks", "outside")


def region_shares(
    values: NDArray[np.float32], crop: FaceCrop, landmarks: NDArray[np.float32] | None
) -> dict[str, float]:
    """Return each region's share of a map's positive values; all 0 if there are none.

    Args:
        values: float32 (height, width), the map of the crop.
        crop: the face crop.
        landmarks: float (n, 2) x, y in pixels of the image, or None. Other numbers of landmarks
            than 5 and 68 are not used.
    """
    positive = np.maximum(values, 0, dtype=np.float64)
    total = positive.sum() or 1.0
    regions = find_regions(crop, landmarks)
    return {
        name: float(positive[regions == index].sum() / total) for index, name in enumerate(REGIONS)
    }


def find_regions(crop: FaceCrop, landmarks: NDArray[np.float32] | None) -> NDArray[np.intp]:
    """Return the index in REGIONS of each pixel of a crop, (height, width)."""
    height, width = crop.pixels.shape
    rows, columns = np.mgrid[:height, :width]
    points = _five(landmarks)
    if points is None:
        places = np.stack([(columns + 0.5) / width, (rows + 0.5) / height], axis=-1)
    else:
        pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ crop.to_image.T
        places = _to_template(pixels, points)
    x, y = np.moveaxis((places - ORIGIN) / UNIT, -1, 0)
    inside = (x / HALF_WIDTH) ** 2 + ((y - CENTRE) / HALF_HEIGHT) ** 2 < 1
    conditions = [
        inside & (y < BROWS),
        inside & (y < EYES),
        inside & (y < NOSE) & (np.abs(x) < NOSE_WIDTH),
        inside & (y >= NOSE) & (np.abs(x) < MOUTH_WIDTH),
        inside,
    ]
    return np.select(conditions, range(len(conditions)), REGIONS.index("outside"))


def _five(landmarks: NDArray[np.float32] | None) -> NDArray[np.float64] | None:
    """Return eyes, nose and corners of the mouth, (5, 2); None if they are not known."""
    if landmarks is None or len(landmarks) not in (5, 68):
        return None
    points = np.asarray(landmarks, np.float64)
    if len(points) == 68:
        points = np.stack([points[list(chosen)].mean(axis=0) for chosen in POINTS_OF_68])
    # All five in one place have no direction.
    return points if np.isfinite(points).all() and np.ptp(points, axis=0).any() else None


def _to_template(places: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift, turn and scale places so that five points come closest to the template."""
    # As complex numbers, a turn and a scale are one factor; least squares give it.
    given, wanted = (part[:, 0] + 1j * part[:, 1] for part in (points, TEMPLATE))
    moved = given - given.mean()
    factor = np.vdot(moved, wanted - wanted.mean()) / np.vdot(moved, moved)
    turned = factor * (places[..., 0] + 1j * places[..., 1] - given.mean()) + wanted.mean()
    return np.stack([turned.real, turned.imag], axis=-1)

"""Explanations: the results of ``recognizer.explain``."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from emonet.explain.features import is_point, spread
from emonet.explain.regions import region_shares
from emonet.results import Face, FaceCrop, FeatureEffect

if TYPE_CHECKING:
    import PIL.Image

#: How maps are computed: see EmotionRecognizer.explain.
ExplainMethod = Literal["cam", "occlusion", "features"]


@dataclass(frozen=True, slots=True, eq=False)
class FaceExplanation:
    """What supports a label in one face.

    Attributes:
        face: the face, as predict returns it.
        label: the label that is explained.
        map: float32 (height, width), one value per pixel of the crop. Positive values support
            the label, negative values against it. With ``"cam"``, values are logits relative to
            the mean of all labels. With ``"occlusion"``, a value is the probability of the label
            while the pixel is visible, minus its probability while the pixel is hidden. With
            ``"features"``, the effect of each part of a feature vector is spread over its place.
        crop: the face crop, and where it lies in the image.
        features: with ``"features"``, the effect of each landmark and HOG window, else empty.
    """

    face: Face
    label: str
    map: NDArray[np.float32] = field(repr=False)
    crop: FaceCrop = field(repr=False)
    features: tuple[FeatureEffect, ...] = field(default=(), repr=False)

    def regions(self) -> dict[str, float]:
        """Return the share of each region in what supports the label, 0..1.

        The regions are ``brows`` (with the forehead), ``eyes``, ``nose``, ``mouth`` (with the
        chin), ``cheeks`` and ``outside``, which is hair and background. They follow 5 or 68
        landmarks of the detector; without landmarks, they lie where FER-2013's faces have them.

        Returns:
            Shares of the map's positive values, with a sum of 1; all 0 if no value is positive.
        """
        return region_shares(self.map, self.crop, self.face.detection.landmarks)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain JSON values, with the face and the map.

        With the method ``"features"``, ``features`` lists the effects on the explained label. A
        ``box`` is x, y, width and height in pixels of the crop.
        """
        features = [
            {
                "extractor": one.extractor,
                "name": one.name,
                "box": list(one.box),
                "effect": one.effects[self.label],
            }
            for one in self.features
        ]
        return {
            **self.face.to_dict(),
            "explained": self.label,
            "regions": self.regions(),
            "map": self.map.astype(np.float64).round(6).tolist(),
            **({"features": features} if features else {}),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What supports a label in each face of an image.

    Attributes:
        image: uint8 (height, width, 3) RGB.
        method: ``"cam"`` or ``"occlusion"``.
        faces: the most confident detection first; empty if no face was found.
        path: the path of an image given as a path, else None.
    """

    image: NDArray[np.uint8] = field(repr=False)
    method: ExplainMethod
    faces: tuple[FaceExplanation, ...]
    path: str | None = None

    def draw(self) -> "PIL.Image.Image":
        """Return a copy of the image with a heat map, a box and a label on every face.

        Red supports the label that is drawn, blue against it. Colours are scaled to the
        largest value of each face's map. With the method ``"features"``, the heat map shows HOG
        windows, and dots show landmarks. A landmark with a larger effect is a larger dot.
        """
        from emonet.explain.heat_map import Heated, draw_heat_maps

        # The box has the explained label instead of the most probable one.
        faces = [
            replace(one.face, label=one.label, score=one.face.probabilities[one.label])
            for one in self.faces
        ]
        heated = []
        for face, one in zip(faces, self.faces, strict=True):
            # A landmark's one pixel would hide in the map of the windows.
            areas = [part for part in one.features if not is_point(part)]
            values = spread(areas, one.label, one.map.shape) if one.features else one.map
            points = [
                (part.box.x, part.box.y, part.effects[one.label])
                for part in one.features
                if is_point(part)
            ]
            heated.append(Heated(face, values, one.crop, points))
        return draw_heat_maps(self.image, heated)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain JSON values, without the image."""
        height, width = self.image.shape[:2]
        return {
            "path": self.path,
            "width": width,
            "height": height,
            "method": self.method,
            "faces": [face.to_dict() for face in self.faces],
        }

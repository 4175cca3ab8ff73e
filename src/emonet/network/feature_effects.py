"""How much each part of a feature vector changes probabilities: hide it, and look."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.network.ensemble import Ensemble
from emonet.network.network import Network
from emonet.pipeline.crops import FacesBySize
from emonet.plugin import FeaturePart
from emonet.results import Box, FeatureEffect

#: A part's extractor and name; networks of an ensemble may have the same parts.
PartName = tuple[str, str]
#: A float32 array for each extractor of a network, by its name.
Vectors = Mapping[str, NDArray[np.float32]]


def feature_effects(
    ensemble: Ensemble, faces: FacesBySize, means: Sequence[Vectors], labels: Sequence[str]
) -> list[tuple[FeatureEffect, ...]]:
    """Return the effects of the parts of each face's vectors on the probabilities.

    A part is hidden in all networks that have it. Faces are seen in one view.

    Args:
        ensemble: has guarded extractors.
        faces: uint8 (n, height, width) by size, for every size that a member needs. Boxes are in
            pixels of the first size.
        means: of each network, the values (size,) that hidden parts get, by extractor.
        labels: the classes.
    """
    members = ensemble.vectors(faces)
    (height, width), crops = next(iter(faces.items()))
    found = []
    for index in range(len(crops)):
        vectors = [{name: rows[index] for name, rows in member.items()} for member in members]
        parts = [
            {name: network.extractors[name].parts(vector) for name, vector in of_one.items()}  # type: ignore[attr-defined]
            for network, of_one in zip(ensemble.networks, vectors, strict=True)
        ]
        places: dict[PartName, FeaturePart] = {}
        for of_one in parts:
            for extractor, listed in of_one.items():
                for part in listed:
                    places.setdefault((extractor, part.name), part)
        rows = {key: row for row, key in enumerate(places, 1)}
        answers = [
            _predict(network, faces[network.face_size][index], rows, *its)
            for network, *its in zip(ensemble.networks, vectors, parts, means, strict=True)
        ]
        whole, *hidden = ensemble.combine(answers)
        found.append(
            tuple(
                FeatureEffect(
                    extractor=extractor,
                    name=part.name,
                    box=_scaled(part.place, width, height),
                    effects=dict(zip(labels, (whole - without).tolist(), strict=True)),
                )
                for ((extractor, _), part), without in zip(places.items(), hidden, strict=True)
            )
        )
    return found


def _predict(
    network: Network,
    face: NDArray[np.uint8],
    rows: Mapping[PartName, int],
    vectors: Vectors,
    parts: Mapping[str, Sequence[FeaturePart]],
    means: Vectors,
) -> NDArray[np.float32]:
    """Return a network's probabilities: all parts in row 0, and one part hidden in each other."""
    count = 1 + len(rows)
    features = []
    for name, vector in vectors.items():
        copies = np.repeat(vector[np.newaxis], count, axis=0)
        for part in parts[name]:
            copies[rows[name, part.name], part.values] = means[name][part.values]
        features.append(copies)
    return network.predict_proba(np.repeat(face[np.newaxis], count, axis=0), features)


def _scaled(place: tuple[float, float, float, float], width: int, height: int) -> Box:
    x, y, across, down = place
    return Box(x * width, y * height, across * width, down * height)

"""Measure whether explanations point at what the network uses.

Deletion and insertion (Petsiuk et al. 2018): pixels are hidden, or shown, in the order of a map,
and the mean probability of the label along the way is noted. A good map gives a low deletion and a
high insertion. A random map and a map that is largest in the centre are the comparison. Hidden
pixels get the mean grey value of their face.

The sanity check of Adebayo et al. (2018): maps of a network with shuffled weights must not
correlate with those of the trained network. Kernels are shuffled from the last layer down. All
faces have much the same map in one shuffled network, so the mean is over several shuffles.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from benchmarks.faces import ready_faces
from benchmarks.options import Options
from emonet import EmotionRecognizer
from emonet.explain.occlusion import occlusion_maps

STEPS = 12
MASKS = 500
MAPS = ("cam", "occlusion", "centre", "random")
#: The model that occlusion is measured with; others take hours.
OCCLUDED = "tiny"
#: The model whose weights are shuffled: its graph does not hold them.
SHUFFLED = "fast"
SHUFFLES = 5
#: Prefixes of the kernels that are shuffled.
KERNELS = {
    "head": ("head/",),
    "head and stage 3": ("head/", "backbone/stage3"),
    "all": ("head/", "backbone/"),
}

KEYS = ("model", "map", "shuffled")
METRICS = ("deletion", "insertion", "rank_correlation")
DETAILS = ("faces", "shuffles", "lowest", "highest")


def tasks(options: Options) -> list[list[dict]]:
    """Return the rows to measure."""
    from emonet.storage.sources import bundled_models

    rows = [
        {"model": model, "map": kind, "shuffled": ""}
        for model in ([OCCLUDED] if options.quick else reversed(bundled_models()))
        for kind in MAPS
        if kind != "occlusion" or model == OCCLUDED
    ]
    sanity = [{"model": SHUFFLED, "map": "cam", "shuffled": kernels} for kernels in KERNELS]
    return [[*sanity, *rows]]


def measure(task: dict, options: Options) -> dict:
    """Measure one kind of map."""
    recognizer = EmotionRecognizer.from_pretrained(task["model"])
    count = 8 if options.quick else options.explained
    faces = _spread(options, count)
    classes = recognizer.predict_proba(faces).argmax(axis=1)
    if shuffled := task["shuffled"]:
        ours = _maps("cam", recognizer, faces, classes)
        shuffles = 1 if options.quick else SHUFFLES
        others = (_shuffled(recognizer, shuffled, seed) for seed in range(shuffles))
        found = [_rank_correlation(ours, _maps("cam", other, faces, classes)) for other in others]
        return {
            "faces": len(faces),
            "shuffles": shuffles,
            "rank_correlation": float(np.mean(found)),
            "lowest": min(found),
            "highest": max(found),
        }
    maps = _maps(task["map"], recognizer, faces, classes, masks=16 if options.quick else MASKS)
    order = np.argsort(-maps.reshape(len(faces), -1), axis=1, kind="stable")
    return {
        "faces": len(faces),
        "deletion": _curve(recognizer, faces, classes, order, hide=True),
        "insertion": _curve(recognizer, faces, classes, order, hide=False),
    }


def _spread(options: Options, count: int) -> np.ndarray:
    """Return ``count`` faces, evenly spread over the split."""
    if options.data is None:
        return ready_faces(count, options)
    from emonet import load_dataset

    images = load_dataset(options.data, options.split).images
    return images[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)]


def _maps(
    kind: str,
    recognizer: EmotionRecognizer,
    faces: np.ndarray,
    classes: np.ndarray,
    *,
    masks: int = MASKS,
) -> np.ndarray:
    """Return (n, height, width) maps of the classes."""
    count, height, width = faces.shape
    if kind == "cam":
        maps = recognizer.activation_maps(faces)
        return maps[np.arange(count), classes] - maps.mean(axis=1)
    if kind == "occlusion":
        return np.stack(
            occlusion_maps(recognizer.predict_proba, list(faces), classes, masks=masks, seed=0)
        )
    if kind == "random":
        return np.random.default_rng(0).random(faces.shape)
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    return np.broadcast_to(-distance, faces.shape)


def _curve(
    recognizer: EmotionRecognizer,
    faces: np.ndarray,
    classes: np.ndarray,
    order: np.ndarray,
    *,
    hide: bool,
) -> float:
    """Return the mean height of the curve of deletion (hide) or insertion."""
    pixels = faces.reshape(len(faces), -1)
    grey = np.rint(pixels.mean(axis=1)).astype(np.uint8)[:, np.newaxis]
    heights = []
    for step in range(STEPS + 1):
        first = round(step / STEPS * pixels.shape[1])
        changed = pixels.copy()
        np.put_along_axis(changed, order[:, :first] if hide else order[:, first:], grey, axis=1)
        scores = recognizer.predict_proba(changed.reshape(faces.shape))
        heights.append(scores[np.arange(len(faces)), classes].mean(dtype=np.float64))
    return float(np.mean([(one + other) / 2 for one, other in pairwise(heights)]))


def _shuffled(recognizer: EmotionRecognizer, kernels: str, seed: int) -> EmotionRecognizer:
    """Return the recognizer with the values of each of some kernels in random order."""
    random = np.random.default_rng(seed)

    def changed(name: str, array: np.ndarray) -> np.ndarray:
        if not (name.startswith(KERNELS[kernels]) and name.endswith("kernel")):
            return array
        return random.permutation(array.ravel()).reshape(array.shape)

    weights = {
        network: {name: changed(name, array) for name, array in arrays.items()}
        for network, arrays in recognizer.weights.items()
    }
    return EmotionRecognizer._of(replace(recognizer.model, weights=weights))


def _rank_correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the mean over faces of Spearman's rank correlation of two maps."""

    def ranks(maps: np.ndarray) -> np.ndarray:
        return np.argsort(np.argsort(maps.reshape(len(maps), -1), axis=1), axis=1)

    pairs = zip(ranks(ours), ranks(theirs), strict=True)
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs]))

"""Measure how much choosing the members of an ensemble, and their weights, is worth.

An accuracy on the faces that chose is too high. So each way of choosing works on one half of the
faces, and its choice is measured on the other half.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet import EmotionRecognizer, load_dataset
from emonet.errors import ConfigError, DataError
from emonet.training.ensembling import search_once

Members = NDArray[np.float32]
Classes = NDArray[np.int64]
Weights = NDArray[np.float64]
Chooser = Callable[[Members, Classes], Weights]

VIEWS = "horizontal_flip"
MEAN = "mean"


def choosing(
    models: Sequence[str], data: Path, split: str, *, halves: int, seed: int = 0
) -> dict[str, Any]:
    """Return what each way of choosing gains over the plain mean of all networks.

    Each network predicts each face and its mirror image, without temperature. Accuracies are
    0..1, and gains are differences of accuracies.

    Args:
        models: bundled models or folders; an ensemble brings all its networks.
        data: FER-2013's CSV file.
        split: the split to choose and measure on.
        halves: number of random divisions. Each half of a division chooses once.
        seed: seed of the divisions and of differential evolution.
    """
    faces = load_dataset(data, split)
    if len(faces) < 2:
        raise DataError(f"Two halves need 2 or more faces, and {split} has {len(faces)}")
    predicted = _members(models, faces.images, faces.labels)
    names, members = list(predicted), np.stack(list(predicted.values()))
    classes = faces.classes
    return {
        "faces": len(faces),
        "halves": halves,
        "members": {
            name: _accuracy(weights, members, classes)
            for name, weights in zip(names, np.eye(len(names)), strict=True)
        },
        "choosing": compare_choosers(members, classes, names, halves=halves, seed=seed),
    }


def compare_choosers(
    members: Members, classes: Classes, names: Sequence[str], *, halves: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the figures of each way of choosing among (m, n, k) probabilities.

    ``all`` is the accuracy on the faces that chose, if all choose. ``chosen_on`` and ``held_out``
    are mean accuracies on the half that chose and on the other half. ``gain`` is the mean of
    ``held_out`` less the plain mean's, and ``gain_sd`` its standard deviation over the divisions.
    """
    choosers: dict[str, Chooser] = {
        MEAN: plain_mean,
        "best": best_member,
        "greedy": greedy,
        "evolution": partial(search_once, seed=seed),
    }
    random = np.random.default_rng(seed)
    divisions = [random.permutation(len(classes)) % 2 == 0 for _ in range(halves)]
    measured = {
        name: np.array([_on_halves(choose, members, classes, half) for half in divisions])
        for name, choose in choosers.items()
    }
    rows = {}
    for name, choose in choosers.items():
        weights = choose(members, classes)
        gains = measured[name][:, 1] - measured[MEAN][:, 1]
        rows[name] = {
            "all": _accuracy(weights, members, classes),
            "chosen_on": float(measured[name][:, 0].mean()),
            "held_out": float(measured[name][:, 1].mean()),
            "gain": float(gains.mean()),
            "gain_sd": float(gains.std()),
            "weights": {
                part: round(float(weight), 4)
                for part, weight in zip(names, weights, strict=True)
                if weight
            },
        }
    return rows


def plain_mean(members: Members, classes: Classes) -> Weights:
    """Give all members the same weight."""
    return np.full(len(members), 1 / len(members))


def best_member(members: Members, classes: Classes) -> Weights:
    """Choose one member."""
    return min(np.eye(len(members)), key=lambda weights: _cost(weights, members, classes))


def greedy(members: Members, classes: Classes) -> Weights:
    """Add the member that helps the plain mean most, as long as one helps (Caruana et al. 2004)."""
    chosen = np.zeros(len(members))
    lowest = (np.inf, np.inf)
    while len(left := np.flatnonzero(chosen == 0)):
        trials = [chosen + np.eye(len(members))[index] for index in left]
        costs = [_cost(trial / trial.sum(), members, classes) for trial in trials]
        best = min(range(len(left)), key=costs.__getitem__)
        if costs[best] >= lowest:
            break
        chosen, lowest = trials[best], costs[best]
    return chosen / chosen.sum()


def _on_halves(
    choose: Chooser, members: Members, classes: Classes, half: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the mean accuracy on the half that chose, and on the other half, both ways."""
    figures = []
    for own in (half, ~half):
        weights = choose(members[:, own], classes[own])
        figures.append([_accuracy(weights, members[:, p], classes[p]) for p in (own, ~own)])
    chosen_on, held_out = np.mean(figures, axis=0)
    return float(chosen_on), float(held_out)


def _cost(weights: Weights, members: Members, classes: Classes) -> tuple[float, float]:
    """Return the error rate, and the log loss, which decides between equals."""
    mean = np.tensordot(weights, members, 1)
    true = mean[np.arange(len(classes)), classes]
    loss = -np.log(np.maximum(true, 1e-12)).mean()
    return float(np.mean(mean.argmax(axis=1) != classes)), float(loss)


def _accuracy(weights: Weights, members: Members, classes: Classes) -> float:
    return 1 - _cost(weights, members, classes)[0]


def _members(
    models: Sequence[str], images: NDArray[np.uint8], labels: tuple[str, ...]
) -> dict[str, Members]:
    """Return the probabilities of each network of the models, by model and network."""
    members = {}
    for model in models:
        recognizer = EmotionRecognizer.from_pretrained(model)
        if recognizer.labels != labels:
            raise ConfigError(
                f"{model} has the labels {', '.join(recognizer.labels)}, "
                f"and the faces have {', '.join(labels)}"
            )
        sessions = recognizer._sessions
        ensemble = replace(sessions.ensemble, augmentation=VIEWS)
        for network, predicted in zip(
            ensemble.networks, ensemble.members_proba(sessions.by_size(images)), strict=True
        ):
            members[f"{model}/{network.name}"] = predicted
    return members

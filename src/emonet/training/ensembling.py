"""Several recognizers -> one, and the weights of its members.

The seed paper's section 6: an ensemble's answer is the weighted mean of its networks'
probabilities, with weights in 0..1 that differential evolution (Storn and Price 1997) finds
on held-out faces.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import NetworkConfig, RecognizerConfig
from emonet.errors import ConfigError, DataError
from emonet.network.weights import adapt_output

__all__ = ["LearntWeights", "learn_weights", "merge"]

logger = logging.getLogger("emonet")

FOLDS = 5
GENERATIONS = 200

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntWeights:
    """An ensemble's weights and what they are worth; accuracies are 0..1, all on ``faces`` faces.

    Attributes:
        weights: by member; they sum to 1.
        members: accuracy of each member alone.
        mean: accuracy of the plain mean of all members.
        learnt: accuracy with the weights, on the very faces that they were learnt on.
        held_out: accuracy where the weights for each fifth of the faces were learnt on the
            others: what tells whether weights are worth learning.
        log_loss: of the mean with the weights, nats.
        faces: how many.
        seed: of the search and of the fifths.
    """

    weights: Mapping[str, float]
    members: Mapping[str, float]
    mean: float
    learnt: float
    held_out: float
    log_loss: float
    faces: int
    seed: int

    @property
    def beat_the_mean(self) -> bool:
        """Whether learning the weights was better than the plain mean, on held-out faces."""
        return self.held_out > self.mean


def merge(
    members: Sequence[tuple[RecognizerConfig, Mapping[str, Arrays], Mapping[str, bytes]]],
) -> tuple[RecognizerConfig, dict[str, dict[str, NDArray[Any]]], dict[str, bytes]]:
    """Put the networks of several recognizers into one, all members with the same say.

    Detector, framing, test-time augmentation and the order of the labels are the first
    member's: members must have learnt from faces that are framed alike.

    Args:
        members: each one's configuration, its weights by network and by layer, and the graphs
            of those networks that have one.

    Returns:
        The configuration of the ensemble, its weights and its graphs. The temperature of a
        member goes into its weights, so that it is applied to each view of a face before
        views are averaged; in int8, such a member computes in float32 from now on.

    Raises:
        ConfigError: there is no member, label sets differ, or a member is a calibrated
            ensemble itself.
    """
    if not members:
        raise ConfigError("An ensemble needs at least one member")
    first = members[0][0]
    networks: list[NetworkConfig] = []
    weights: dict[str, dict[str, NDArray[Any]]] = {}
    graphs: dict[str, bytes] = {}
    for config, arrays, known_graphs in members:
        if set(config.labels) != set(first.labels):
            raise ConfigError(
                f"Members of an ensemble must have the same labels: one has "
                f"{', '.join(config.labels)}, the first has {', '.join(first.labels)}"
            )
        if config.temperature != 1 and len(config.networks) > 1:
            raise ConfigError(
                "A member that is a calibrated ensemble can't be taken apart: give its own "
                "members, and calibrate the whole"
            )
        order = [config.labels.index(label) for label in first.labels]
        total = sum(network.weight for network in config.networks)
        for network in config.networks:
            name = _unused(network.name, weights)
            share = network.weight / total / len(members)
            part = replace(network, name=name, weight=share)
            quantised = part.graph_precision != "float32"
            if quantised and (order != sorted(order) or config.temperature != 1):
                logger.warning(
                    "%s computes in float32 here: its temperature or its order of labels can't "
                    "go into a graph in %s. Quantise the ensemble instead.",
                    name, part.graph_precision,
                )  # fmt: skip
                part = replace(part, graph_precision="float32")
            elif network.name in known_graphs:
                graphs[name] = known_graphs[network.name]
            networks.append(part)
            weights[name] = adapt_output(arrays[network.name], order, config.temperature)
    return replace(first, networks=tuple(networks), temperature=1.0, files={}), weights, graphs


def learn_weights(
    probabilities: Mapping[str, NDArray[np.float32]], classes: NDArray[np.int64], *, seed: int
) -> LearntWeights:
    """Search the weights with which the members' mean is right most often.

    Between weights that are right equally often, the log-loss decides.

    Args:
        probabilities: each member's, (n, k).
        classes: the true classes, (n,).
        seed: of the search.

    Raises:
        DataError: there are too few faces.
    """
    if len(classes) < FOLDS:
        raise DataError(f"Weights are learnt on {FOLDS} or more faces, got {len(classes)}")
    members = np.stack(list(probabilities.values()))
    weights = _search(members, classes, seed)
    folds = np.random.default_rng(seed).permutation(len(classes)) % FOLDS
    held_out = 0
    for fold in range(FOLDS):
        others, mine = folds != fold, folds == fold
        elsewhere = _search(members[:, others], classes[others], seed)
        held_out += int(_right(elsewhere, members[:, mine], classes[mine]).sum())
    plain = np.full(len(members), 1 / len(members))
    truth = np.tensordot(weights, members, 1)[np.arange(len(classes)), classes]
    return LearntWeights(
        weights=dict(zip(probabilities, weights.tolist(), strict=True)),
        members={
            name: float((member.argmax(axis=1) == classes).mean())
            for name, member in probabilities.items()
        },
        mean=float(_right(plain, members, classes).mean()),
        learnt=float(_right(weights, members, classes).mean()),
        held_out=held_out / len(classes),
        log_loss=float(-np.log(np.maximum(truth, 1e-12)).mean()),
        faces=len(classes),
        seed=seed,
    )


def _search(
    members: NDArray[np.float32], classes: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Return the best weights of (m, n, k) probabilities that were found; they sum to 1."""
    from scipy.optimize import differential_evolution

    rows = np.arange(len(classes))

    def cost(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count the errors of every column of (m, candidates), and a fraction for the loss."""
        shares = candidates / np.maximum(candidates.sum(axis=0), 1e-12)
        costs = np.empty(shares.shape[1])
        for index, share in enumerate(shares.T):
            mean = np.tensordot(share.astype(np.float32), members, 1)
            errors = np.count_nonzero(mean.argmax(axis=1) != classes)
            loss = -np.log(np.maximum(mean[rows, classes], 1e-12)).mean()
            costs[index] = errors + loss / (1 + loss)
        return costs

    found = differential_evolution(
        cost,
        [(0.0, 1.0)] * len(members),
        x0=np.full(len(members), 0.5),  # the plain mean: nothing worse comes out
        maxiter=GENERATIONS,
        tol=0,
        atol=1,  # until candidates differ by less than one error, not by a share of all errors
        rng=seed,
        polish=False,  # the cost has steps, so no gradient
        vectorized=True,
        updating="deferred",
    )
    return np.asarray(found.x / found.x.sum())


def _right(
    weights: NDArray[np.float64], members: NDArray[np.float32], classes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    return np.asarray(np.tensordot(weights, members, 1).argmax(axis=1) == classes)


def _unused(name: str, taken: Mapping[str, object]) -> str:
    """Return the name, numbered where it is taken."""
    unused, number = name, 1
    while unused in taken:
        number += 1
        unused = f"{name[: 63 - len(str(number))]}_{number}"
    return unused

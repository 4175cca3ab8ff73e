"""Ensembles: merge models into one, and fit the weights of its networks.

An ensemble predicts the weighted mean of its networks' probabilities (section 6 of the paper).
Differential evolution (Storn and Price 1997) finds weights in 0..1 on held-out faces.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emonet.config import ModelConfig, NetworkConfig
from emonet.errors import ConfigError, DataError
from emonet.model import Model, Weights
from emonet.network.weights import adapt_output
from emonet.records import UNKNOWN, EnsembleWeights, TrainingRecord

logger = logging.getLogger("emonet")

FOLDS = 5
GENERATIONS = 200


def merge(models: Sequence[Model]) -> Model:
    """Return one model with the networks of several, each model with the same weight.

    Detector, framing, test-time augmentation and the order of the labels come from the first
    model, so all models must be trained on faces with the same framing. A member's temperature
    becomes part of its weights, so it applies to each view of a face before the views are
    averaged. A calibrated int8 member then computes in float32.
    """
    if not models:
        raise ConfigError("An ensemble needs at least one member")
    labels = models[0].config.labels
    networks: list[NetworkConfig] = []
    weights: dict[str, Weights] = {}
    graphs: dict[str, bytes] = {}
    records: dict[str, TrainingRecord] = {}
    for model in models:
        model.require_weights()
        config = model.config
        _require_mergeable(config, labels)
        order = [config.labels.index(label) for label in labels]
        total = sum(network.weight for network in config.networks)
        for network in config.networks:
            name = _free_name(network.name, weights)
            weight = network.weight / total / len(models)
            part = replace(network, name=name, weight=weight)
            quantised = part.graph_precision != "float32"
            if quantised and (order != sorted(order) or config.temperature != 1):
                logger.warning(
                    "%s computes in float32 in the ensemble: an %s graph can't take a "
                    "temperature or another order of labels. Quantise the ensemble instead",
                    name, part.graph_precision,
                )  # fmt: skip
                part = replace(part, graph_precision="float32")
            elif network.name in model.graphs:
                graphs[name] = model.graphs[network.name]
            networks.append(part)
            weights[name] = adapt_output(model.weights[network.name], order, config.temperature)
            single = len(config.networks) == 1
            record = model.record if single else model.record.members.get(network.name, UNKNOWN)
            if record != UNKNOWN:
                records[name] = record
    counts = models[0].config.training_counts
    if any(model.config.training_counts != counts for model in models):
        counts = {}
    return Model(
        config=replace(
            models[0].config,
            networks=tuple(networks),
            temperature=1.0,
            training_counts=counts,
            files={},
        ),
        weights=weights,
        graphs=graphs,
        record=TrainingRecord(command="EmotionRecognizer.ensemble", members=records),
    )


def fit_weights(
    model: Model,
    members: Sequence[NDArray[np.float32]],
    classes: NDArray[np.int64],
    *,
    seed: int,
) -> Model:
    """Return the ensemble with weights found by differential evolution.

    ``members`` are each network's probabilities, (n, k), and ``classes`` the true classes, (n,).
    """
    names = [network.name for network in model.config.networks]
    found = search_weights(dict(zip(names, members, strict=True)), classes, seed=seed)
    if not found.beats_mean:
        logger.warning(
            "The fitted weights do not beat the plain mean on held-out faces: %.4f against %.4f",
            found.held_out, found.mean,
        )  # fmt: skip
    networks = (replace(part, weight=found.weights[part.name]) for part in model.config.networks)
    return replace(
        model,
        config=replace(model.config, networks=tuple(networks), temperature=1.0),
        record=replace(
            model.record.without_figures(),
            command="EmotionRecognizer.fit_weights",
            ensemble_weights=found,
        ),
    )


def search_weights(
    probabilities: Mapping[str, NDArray[np.float32]], classes: NDArray[np.int64], *, seed: int
) -> EnsembleWeights:
    """Find the weights whose weighted mean of probabilities has the highest accuracy.

    The log loss decides between weights of equal accuracy. Each member has probabilities (n, k)
    by its name; the true classes are (n,). Too few faces raise DataError.
    """
    if len(classes) < FOLDS:
        raise DataError(f"Fitting weights needs {FOLDS} or more faces, got {len(classes)}")
    members = np.stack(list(probabilities.values()))
    weights = search_once(members, classes, seed)
    folds = np.random.default_rng(seed).permutation(len(classes)) % FOLDS
    held_out = 0
    for fold in range(FOLDS):
        test = folds == fold
        fold_weights = search_once(members[:, ~test], classes[~test], seed)
        held_out += int(_correct(fold_weights, members[:, test], classes[test]).sum())
    plain = np.full(len(members), 1 / len(members))
    true_class = np.tensordot(weights, members, 1)[np.arange(len(classes)), classes]
    return EnsembleWeights(
        weights=dict(zip(probabilities, weights.tolist(), strict=True)),
        members={
            name: float((member.argmax(axis=1) == classes).mean())
            for name, member in probabilities.items()
        },
        mean=float(_correct(plain, members, classes).mean()),
        fitted=float(_correct(weights, members, classes).mean()),
        held_out=held_out / len(classes),
        log_loss=float(-np.log(np.maximum(true_class, 1e-12)).mean()),
        faces=len(classes),
        seed=seed,
    )


def search_once(
    members: NDArray[np.float32], classes: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Return the best weights found for (m, n, k) probabilities; they sum to 1."""
    from scipy.optimize import differential_evolution

    rows = np.arange(len(classes))

    def cost(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the errors of each column of (m, candidates), plus a fraction for the loss."""
        weights = candidates / np.maximum(candidates.sum(axis=0), 1e-12)
        values = np.empty(weights.shape[1])
        for index, column in enumerate(weights.T):
            mean = np.tensordot(column.astype(np.float32), members, 1)
            errors = np.count_nonzero(mean.argmax(axis=1) != classes)
            loss = -np.log(np.maximum(mean[rows, classes], 1e-12)).mean()
            values[index] = errors + loss / (1 + loss)
        return values

    found = differential_evolution(
        cost,
        [(0.0, 1.0)] * len(members),
        x0=np.full(len(members), 0.5),  # the plain mean, so the result is never worse
        maxiter=GENERATIONS,
        tol=0,
        atol=1,  # stop when candidates differ by less than one error
        rng=seed,
        polish=False,  # the cost is a step function, without a gradient
        vectorized=True,
        updating="deferred",
    )
    return np.asarray(found.x / found.x.sum())


def _correct(
    weights: NDArray[np.float64], members: NDArray[np.float32], classes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    return np.asarray(np.tensordot(weights, members, 1).argmax(axis=1) == classes)


def _require_mergeable(config: ModelConfig, labels: tuple[str, ...]) -> None:
    if set(config.labels) != set(labels):
        raise ConfigError(
            f"Members of an ensemble must have the same labels: one has "
            f"{', '.join(config.labels)}, the first has {', '.join(labels)}"
        )
    if config.prior is not None:
        raise ConfigError(
            "A model with a class prior can't be a member of an ensemble. Pass "
            "member.with_prior('training'), and set the prior of the ensemble"
        )
    if config.temperature != 1 and len(config.networks) > 1:
        raise ConfigError(
            "A calibrated ensemble can't be a member of another. Pass its members, and "
            "calibrate the new ensemble"
        )


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    """Return the name, with a number if it is taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name[: 63 - len(str(number))]}_{number}"
    return free

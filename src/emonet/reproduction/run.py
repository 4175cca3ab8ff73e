"""Carries the experiment out, going on where it was interrupted."""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from emonet.config import look_up
from emonet.data import FaceDataset, load_dataset
from emonet.data.splits import TEST, TRAINING, VALIDATION, official_split, split_name
from emonet.errors import ConfigError
from emonet.evaluation import plots
from emonet.evaluation.report import Report
from emonet.files import beside
from emonet.network.network import count_parameters
from emonet.recognizer import EmotionRecognizer
from emonet.reproduction.experiment import (
    PAPER_ENSEMBLE,
    SCALES,
    Scale,
    Variant,
    get_variants,
)
from emonet.reproduction.report import to_markdown
from emonet.runs import is_finished, train_folder
from emonet.training.recipes import Precision
from emonet.training.record import data_digest, installed_versions

__all__ = ["reproduce"]

logger = logging.getLogger("emonet")

ENSEMBLE = "ensemble"
SAMPLES = 24


def reproduce(
    data: Path,
    out: Path,
    *,
    scale: str | Scale = "paper",
    variants: Collection[str | Variant] | None = None,
    weights: Mapping[str, str] | None = None,
    pretrained: bool = True,
    test_split: str = TEST,
    precision: Precision | None = None,
    seed: int = 0,
    command: str = "emonet.reproduction.reproduce",
) -> dict[str, Any]:
    """Train the paper's networks, learn their ensemble's weights, and report.

    What was finished before is not done again.

    Args:
        data: FER-2013's CSV file, or a folder with all three splits.
        out: the folder for model folders, ``report.md``, ``report.json`` and figures.
        scale: ``"paper"``, ``"small"`` or a Scale.
        variants: names of the paper's, or Variants; None takes the paper's four.
        weights: where the pretrained weights of a backbone are, by its name.
        pretrained: start from pretrained weights, as the paper does.
        test_split: the split that is reported.
        precision: instead of the recipe's own.
        seed: of training and of the search for weights.
        command: what the reports name as the command.

    Returns:
        What ``report.json`` holds.

    Raises:
        ConfigError: an unknown scale or variant, weights that no variant takes, or ``out``
            holds another experiment.
        DataError: a split is missing.
        TrainingError: a variant diverged; its last good checkpoint stays.
        MissingDependencyError: matplotlib or the landmark model is not installed.
    """
    scale = scale if isinstance(scale, Scale) else look_up("scale", scale, SCALES)
    chosen = get_variants(variants)
    weights = {} if weights is None else weights
    backbones = {variant.backbone for variant in chosen}
    if unknown := sorted(set(weights) - (backbones if pretrained else set())):
        raise ConfigError(
            f"Weights were given for {', '.join(unknown)}, which no variant starts from: "
            f"pretrained is {pretrained}, the backbones are {', '.join(sorted(backbones))}"
        )
    test = official_split(test_split)
    # Before anything is trained: a split that is missing is said now.
    splits = _load_splits(data, test)
    labels = splits[TRAINING].labels
    settings = {
        "scale": asdict(scale), "pretrained": pretrained, "precision": precision, "seed": seed,
        "data": {name: data_digest(part) for name, part in splits.items()},
        "weights": {backbone: str(path) for backbone, path in sorted(weights.items())},
    }  # fmt: skip
    _claim(out, settings)
    _draw_data(splits, out)
    for variant in chosen:
        if is_finished(out / variant.name):
            logger.info("%s is finished", variant.name)
            continue
        logger.info("Training %s", variant.name)
        train_folder(
            _describe(variant, scale, labels, weights, pretrained=pretrained),
            _spread(splits[TRAINING], scale.training_faces),
            splits[VALIDATION],
            out / variant.name,
            recipe="paper",
            epochs=scale.epochs,
            precision=precision,
            seed=seed,
            feature_cache=out / "features",
            command=command,
            split=split_name(data, VALIDATION),
        )
    members = {part.name: EmotionRecognizer.from_pretrained(out / part.name) for part in chosen}
    reports = {name: member.evaluate(splits[test]) for name, member in members.items()}
    best = next(iter(members.values()))
    if len(members) > 1:
        best = EmotionRecognizer.ensemble(members.values())
        best.fit_weights(splits[VALIDATION], seed=seed)
        best.training = replace(best.training, command=command)
        reports[ENSEMBLE] = best.evaluate(splits[test])
        best.note_evaluation(split_name(data, test), reports[ENSEMBLE])
        best.save_pretrained(out / ENSEMBLE)
    _draw_results(members, best, reports, splits[test], out)
    learnt = best.training.learnt_weights
    summary = {
        "command": command,
        "settings": settings,
        "scale": scale.describe(),
        "validation_split": VALIDATION,
        "test_split": test,
        "versions": installed_versions("scipy"),
        "faces": {name: len(part) for name, part in splits.items()},
        "parameters": {name: count_parameters(member.weights) for name, member in members.items()},
        "paper": {part.name: part.paper_accuracy for part in chosen} | {ENSEMBLE: PAPER_ENSEMBLE},
        "learnt_weights": None if learnt is None else asdict(learnt),
        "reports": {name: report.to_dict() for name, report in reports.items()},
    }
    _write(out / "report.json", json.dumps(summary, indent=1) + "\n")
    _write(out / "report.md", to_markdown(summary, reports))
    return summary


def _load_splits(data: Path, test: str) -> dict[str, FaceDataset]:
    """Load what is learnt from, what chooses, and what is reported, with the same labels."""
    splits = {name: load_dataset(data, name) for name in (TRAINING, VALIDATION, test)}
    labels = splits[TRAINING].labels
    return {name: part.with_labels(labels) for name, part in splits.items()}


def _describe(
    variant: Variant,
    scale: Scale,
    labels: Sequence[str],
    weights: Mapping[str, str],
    *,
    pretrained: bool,
) -> EmotionRecognizer:
    side = scale.input_sizes[variant.backbone]
    source = weights.get(variant.backbone)
    return EmotionRecognizer(
        variant.backbone,
        variant.features,
        backbone_config={
            **variant.backbone_config,
            "input_size": [side, side],
            **({} if source is None else {"weights": source}),
        },
        labels=labels,
        centred=True,
        pretrained=pretrained,
    )


def _draw_data(splits: Mapping[str, FaceDataset], out: Path) -> None:
    labels = splits[TRAINING].labels
    counts = {
        name: np.bincount(part.classes, minlength=len(labels)) for name, part in splits.items()
    }
    figure = plots.plot_class_distribution(counts, labels)
    plots.save_figure(figure, _figures(out) / "class_distribution.png")


def _draw_results(
    members: Mapping[str, EmotionRecognizer],
    best: EmotionRecognizer,
    reports: Mapping[str, Report],
    test: FaceDataset,
    out: Path,
) -> None:
    figures = _figures(out)
    samples = _spread(test, SAMPLES)
    said = best.predict_proba(samples.images)
    figure = plots.plot_samples(samples.images, samples.classes, said, samples.labels)
    plots.save_figure(figure, figures / "samples.png")
    histories = {name: member.training.history for name, member in members.items()}
    plots.save_figure(plots.plot_learning_curves(histories), figures / "learning_curves.png")
    for name, report in reports.items():
        plots.save_figure(plots.plot_confusion(report, name), figures / f"confusion_{name}.png")


def _figures(out: Path) -> Path:
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    return folder


def _claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Note what experiment a folder is for, and refuse one that is for another."""
    text = json.dumps(settings, indent=1) + "\n"
    note = out / "settings.json"
    if note.exists():
        if note.read_text(encoding="utf-8") != text:
            raise ConfigError(f"{out} holds another experiment, see {note}: choose another folder")
        return
    out.mkdir(parents=True, exist_ok=True)
    _write(note, text)


def _spread(dataset: FaceDataset, count: int | None) -> FaceDataset:
    """Return this many faces, evenly spread over a data set; None returns all."""
    if count is None or count >= len(dataset):
        return dataset
    return dataset.subset(np.linspace(0, len(dataset) - 1, count).astype(np.int64))


def _write(path: Path, text: str) -> None:
    with beside(path) as file:
        file.write_text(text, encoding="utf-8")

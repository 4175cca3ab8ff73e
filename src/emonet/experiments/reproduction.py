"""Run the experiment; an interrupted run can be resumed."""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import look_up
from emonet.data import FaceDataset, load_dataset
from emonet.data.splits import TEST, TRAINING, VALIDATION, official_split, split_name
from emonet.errors import ConfigError
from emonet.evaluation import plots
from emonet.evaluation.comparison import compare
from emonet.evaluation.report import make_report
from emonet.experiments.paper import PAPER_ENSEMBLE, SCALES, Scale, Variant, get_variants
from emonet.experiments.report import to_markdown
from emonet.experiments.runs import is_finished, train_folder
from emonet.recognizer import EmotionRecognizer
from emonet.records import Report
from emonet.support.files import atomic_write
from emonet.training.recipes import Precision
from emonet.training.record import data_digest, installed_versions

logger = logging.getLogger("emonet")

ENSEMBLE = "ensemble"
MEAN = "plain mean"
SAMPLES = 24


def reproduce(
    data: Path,
    out: Path,
    *,
    scale: str | Scale = "paper",
    variants: Collection[str | Variant] | None = None,
    weights: Mapping[str, str] | None = None,
    pretrained: bool | None = None,
    test_split: str = TEST,
    precision: Precision | None = None,
    seed: int = 0,
    command: str = "emonet.experiments.reproduce",
) -> dict[str, Any]:
    """Train the paper's networks, fit the weights of their ensemble, and write a report.

    Call it again after an interruption: finished networks are skipped. Return the content of
    ``report.json``.

    Args:
        data: FER-2013's CSV file, or a folder with all three splits.
        out: the folder for model folders, ``report.md``, ``report.json`` and figures.
        scale: ``"paper"``, ``"medium"``, ``"small"`` or a Scale.
        variants: names of the paper's variants, or Variants; None trains the paper's four.
        weights: pretrained weights by backbone: a path or a URL.
        pretrained: whether to start from pretrained weights; None does as the scale says.
        test_split: the split to report on.
        precision: precision of training; None keeps the scale's.
        seed: seed of training and of the search for weights.
        command: the command that the reports name.
    """
    scale = scale if isinstance(scale, Scale) else look_up("scale", scale, SCALES)
    chosen = get_variants(variants)
    weights = {} if weights is None else weights
    pretrained = scale.pretrained if pretrained is None else pretrained
    precision = precision or scale.precision
    backbones = {variant.backbone for variant in chosen}
    if unknown := sorted(set(weights) - (backbones if pretrained else set())):
        raise ConfigError(
            f"Weights were given for {', '.join(unknown)}, which no variant uses: pretrained is "
            f"{pretrained}, and the backbones are {', '.join(sorted(backbones))}"
        )
    test = official_split(test_split)
    # Load all splits before training, so that a missing one is reported at once.
    splits = {name: load_dataset(data, name) for name in (TRAINING, VALIDATION, test)}
    labels = splits[TRAINING].labels
    splits = {name: part.with_labels(labels) for name, part in splits.items()}
    settings = {
        "scale": asdict(scale), "pretrained": pretrained, "precision": precision, "seed": seed,
        "data": {name: data_digest(part) for name, part in splits.items()},
        "weights": {backbone: str(path) for backbone, path in sorted(weights.items())},
    }  # fmt: skip
    _write_settings(out, settings)
    figures = out / "figures"
    figures.mkdir(exist_ok=True)
    _draw_data(splits, figures)
    training = _spread(splits[TRAINING], scale.training_faces)
    for variant in chosen:
        if is_finished(out / variant.name):
            logger.info("%s is finished", variant.name)
            continue
        logger.info("Training %s", variant.name)
        train_folder(
            _describe(variant, scale, labels, weights, pretrained=pretrained),
            training,
            splits[VALIDATION],
            out / variant.name,
            recipe=scale.recipe,
            epochs=scale.epochs,
            precision=precision,
            seed=seed,
            feature_cache=out / "features",
            command=command,
            split=split_name(data, VALIDATION),
        )
    members = {part.name: EmotionRecognizer.from_pretrained(out / part.name) for part in chosen}
    faces, classes = splits[test].images, splits[test].classes
    predicted = {name: member.predict_proba(faces) for name, member in members.items()}
    pairs = _bovw_pairs(chosen)
    best = next(iter(members.values()))
    if len(members) > 1:
        best = EmotionRecognizer.ensemble(members.values())
        best.fit_weights(splits[VALIDATION], seed=seed)
        best.set_record(replace(best.record, command=command))
        strongest = max(predicted, key=lambda name: _accuracy(predicted[name], classes))
        mean = np.asarray(np.mean(list(predicted.values()), axis=0, dtype=np.float32))
        predicted |= {ENSEMBLE: best.predict_proba(faces), MEAN: mean}
        pairs += [(strongest, ENSEMBLE), (MEAN, ENSEMBLE)]
    comparisons = [
        {
            "networks": [first, second],
            **asdict(
                compare(predicted[first], predicted[second], classes, labels, seed=seed).overall
            ),
        }
        for first, second in pairs
    ]
    predicted.pop(MEAN, None)
    reports = {name: make_report(part, classes, labels) for name, part in predicted.items()}
    if ENSEMBLE in reports:
        best.note_evaluation(split_name(data, test), reports[ENSEMBLE])
        best.save_pretrained(out / ENSEMBLE)
    _draw_results(members, best, reports, splits[test], figures)
    fitted = best.record.ensemble_weights
    summary = {
        "command": command,
        "settings": settings,
        "scale": scale.describe(len(training)),
        "validation_split": VALIDATION,
        "test_split": test,
        "versions": installed_versions("scipy"),
        "faces": {name: len(part) for name, part in (splits | {TRAINING: training}).items()},
        "parameters": {name: member.model.parameters for name, member in members.items()},
        "paper": {part.name: part.paper_accuracy for part in chosen} | {ENSEMBLE: PAPER_ENSEMBLE},
        "ensemble_weights": None if fitted is None else asdict(fitted),
        "comparisons": comparisons,
        "reports": {name: report.to_dict() for name, report in reports.items()},
    }
    _write(out / "report.json", json.dumps(summary, indent=1) + "\n")
    _write(out / "report.md", to_markdown(summary, reports))
    return summary


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
        subtract_mean_face=True,
        pretrained=pretrained,
    )


def _bovw_pairs(variants: Sequence[Variant]) -> list[tuple[str, str]]:
    """Return the names of variants that differ in their feature extractors only."""
    return [
        (pixels.name, fused.name)
        for pixels in variants
        for fused in variants
        if not pixels.features
        and fused.features
        and (pixels.backbone, pixels.backbone_config) == (fused.backbone, fused.backbone_config)
    ]


def _accuracy(probabilities: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    return float((probabilities.argmax(axis=1) == classes).mean())


def _draw_data(splits: Mapping[str, FaceDataset], figures: Path) -> None:
    labels = splits[TRAINING].labels
    counts = {
        name: np.bincount(part.classes, minlength=len(labels)) for name, part in splits.items()
    }
    figure = plots.plot_class_distribution(counts, labels)
    plots.save_figure(figure, figures / "class_distribution.png")


def _draw_results(
    members: Mapping[str, EmotionRecognizer],
    best: EmotionRecognizer,
    reports: Mapping[str, Report],
    test: FaceDataset,
    figures: Path,
) -> None:
    samples = _spread(test, SAMPLES)
    predicted = best.predict_proba(samples.images)
    figure = plots.plot_samples(samples.images, samples.classes, predicted, samples.labels)
    plots.save_figure(figure, figures / "samples.png")
    histories = {name: member.record.history for name, member in members.items()}
    plots.save_figure(plots.plot_learning_curves(histories), figures / "learning_curves.png")
    for name, report in reports.items():
        plots.save_figure(plots.plot_confusion(report, name), figures / f"confusion_{name}.png")


def _write_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings to the folder; raise ConfigError if it already has other settings."""
    text = json.dumps(settings, indent=1) + "\n"
    path = out / "settings.json"
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            raise ConfigError(f"{out} holds another experiment, see {path}: choose another folder")
        return
    out.mkdir(parents=True, exist_ok=True)
    _write(path, text)


def _spread(dataset: FaceDataset, count: int | None) -> FaceDataset:
    """Return ``count`` faces, evenly spread over a data set; None returns all."""
    if count is None or count >= len(dataset):
        return dataset
    return dataset.subset(np.linspace(0, len(dataset) - 1, count).astype(np.int64))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")

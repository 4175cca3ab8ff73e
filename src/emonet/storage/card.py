"""The model card: README.md of a model folder, in the Hub's format."""

import re
from typing import TYPE_CHECKING

from emonet.config import ModelConfig
from emonet.errors import ConfigError
from emonet.records import (
    UNKNOWN,
    Calibration,
    EnsembleWeights,
    Robustness,
    TeacherRecord,
    TrainingRecord,
)
from emonet.support.counting import counted

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

CARD_FILE = "README.md"

#: The Hub's abbreviations of licences: mit, cc-by-4.0, 0bsd.
LICENSE = r"[\w.-]+"

#: Identify FER-2013: the digest of its training split, and the size of both test splits.
_FER2013_DIGEST = "a532ea796b7343e2b1ab2401c3b3743f88102706ca46fe4b0b4f8e11e1fe93a6"
_FER2013_TEST_FACES = 3589

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")

#: How predictions are made, by test-time augmentation.
_VIEWS = {
    "none": "single crop",
    "horizontal_flip": "mean over the face and its mirror image",
    "shift": "mean over 10 views: the face and its mirror image, in place and shifted",
}

_BODY = """\
# {title}

A facial expression recognizer made with [emonet](https://pypi.org/project/emonet/)
{version}. It classifies faces into {count} emotions: {labels}.

```python
from emonet import EmotionRecognizer

recognizer = EmotionRecognizer.from_pretrained("{source}")
print(recognizer.predict("photo.jpg").faces)
```

## Networks

| network | backbone | feature extractors | weight |
|---|---|---|---|
{networks}

`{detector}` detects faces. They are cropped, made grey and resized to {sizes} pixels.{views}

## Limits

A label describes how a face looks to the people who labelled the training data, not what a
person feels. Most emonet models are trained on FER-2013. Its labels are noisy: people agree with
about 65 % of them (Goodfellow et al. 2013). Its faces are not a representative sample of people.
Don't use this model to judge, select or monitor people.
{evaluation}{robustness}{calibration}{weights}{training}"""

_EVALUATION = """
## Evaluation

{figures}"""

_ROBUSTNESS = """
## Robustness

Accuracy on {faces} of {split} after each change, and the loss in percentage points.

| change | accuracy | points lost |
|---|---|---|
{rows}
"""

_CALIBRATION = """
## Calibration

Log-probabilities are divided by the temperature {temperature:.3f}, fitted on {fitted_on}. On
{faces} other faces, the expected calibration error is {after.ece:.4f} (uncalibrated:
{before.ece:.4f}) and the log loss is {after.log_loss:.4f} (uncalibrated: {before.log_loss:.4f}).
The score threshold (`min_score`) has this effect on the same faces:

| score threshold | faces with a label | accuracy on these faces |
|---|---|---|
{rows}
"""

_WEIGHTS = """
## Weights

Differential evolution fitted the weights on {faces}. All accuracies are for the same faces.

| network | weight | accuracy |
|---|---|---|
{rows}

In 5-fold cross-validation, the fitted weights have an accuracy of {held_out:.2f} %, so they
{verdict} the plain mean.
"""

_TRAINING = """
## Training

```
{command}
```

Seed {seed}, {epochs}, {minutes} of training; {versions}. `training.json` holds the
figures of every epoch.{teacher}
"""


def require_license(license: str | None) -> None:
    """Raise ConfigError if a licence is not written as the Hub abbreviates it."""
    if license is not None and not re.fullmatch(LICENSE, license):
        raise ConfigError(
            f"license must be written as the Hub abbreviates it, such as mit, apache-2.0 or other, "
            f"got {license!r:.80}"
        )


def model_card(
    config: ModelConfig,
    title: str,
    training: TrainingRecord = UNKNOWN,
    *,
    license: str | None = None,
) -> str:
    """Return the text of README.md; raise ConfigError if the Hub has no such licence."""
    require_license(license)
    metadata = _metadata(title, training, license)
    views = config.test_time_augmentation
    rows = [
        f"| {network.name} | {network.backbone.name} | "
        f"{', '.join(part.name for part in network.features) or 'none'} | {network.weight:g} |"
        for network in config.networks
    ]
    body = _BODY.format(
        title=_plain(title),
        # The title of a repository's card is the repository's name.
        source=title if _REPOSITORY.fullmatch(title) else "path/to/this/folder",
        version=config.emonet_version,
        count=len(config.labels),
        # Labels may come from a stranger: no page may run them as HTML.
        labels=_plain(", ".join(config.labels)),
        networks="\n".join(rows),
        detector=config.detector.name,
        sizes=" and ".join(f"{height}x{width}" for height, width in config.face_sizes),
        views="" if views == "none" else f"\nEach prediction is the {_VIEWS[views]}.",
        evaluation=_evaluation(config, training) if training.evaluation else "",
        robustness="".join(_robustness(*item) for item in training.robustness.items()),
        calibration=_calibration(training.calibration) if training.calibration else "",
        weights=_weights(training.ensemble_weights) if training.ensemble_weights else "",
        training=_training(training) if training.history else "",
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"


def _metadata(title: str, training: TrainingRecord, license: str | None) -> "ModelCardData":
    """Return the metadata that the Hub uses for its search and its tables of results."""
    from huggingface_hub import ModelCardData

    results = [result for split in training.evaluation for result in _results(split, training)]
    return ModelCardData(
        library_name="emonet",
        license=license,
        pipeline_tag="image-classification",
        tags=["facial-expression-recognition", "emotion"],
        datasets=["fer2013"] if _trained_on_fer2013(training) else None,
        metrics=["accuracy", "f1"] if results else None,
        model_name=title if results else None,
        eval_results=results or None,
    )


def _results(split: str, training: TrainingRecord) -> "list[EvalResult]":
    from huggingface_hub import EvalResult

    report = training.evaluation[split]
    known = report.n == _FER2013_TEST_FACES and _trained_on_fer2013(training)
    figures = (
        ("accuracy", "Accuracy", report.accuracy, None),
        ("f1", "Macro F1", report.macro_f1, {"average": "macro"}),
    )
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Facial expression recognition",
            dataset_type="fer2013" if known else "unknown",
            dataset_name="FER-2013" if known else "unknown",
            dataset_split=split,
            metric_type=metric,
            metric_name=name,
            metric_value=value,
            metric_args=arguments,
        )
        for metric, name, value, arguments in figures
    ]


def _trained_on_fer2013(training: TrainingRecord) -> bool:
    """Return whether every network of a record was trained on FER-2013's training split."""
    records = list(training.members.values()) or [training]
    data = [record.data.get("training") for record in records]
    return all(part is not None and part.sha256 == _FER2013_DIGEST for part in data)


def _evaluation(config: ModelConfig, training: TrainingRecord) -> str:
    figures = "".join(
        f"- {_plain(name)}: accuracy {100 * report.accuracy:.2f} % (95 % interval "
        f"{100 * report.accuracy_interval_95[0]:.2f} to "
        f"{100 * report.accuracy_interval_95[1]:.2f} %), macro F1 "
        f"{100 * report.macro_f1:.2f} %, {counted(report.n, 'face')}, "
        f"{_VIEWS[config.test_time_augmentation]}\n"
        for name, report in training.evaluation.items()
    )
    return _EVALUATION.format(figures=figures)


def _robustness(split: str, robustness: Robustness) -> str:
    rows = [f"| unchanged | {100 * robustness.unchanged:.2f} % | |"]
    rows += [
        f"| {_plain(name)} | {100 * accuracy:.2f} % | {robustness.drop(name):.2f} |"
        for name, accuracy in robustness.changed.items()
    ]
    faces = counted(robustness.n, "face")
    return _ROBUSTNESS.format(faces=faces, split=_plain(split), rows="\n".join(rows))


def _calibration(calibration: Calibration) -> str:
    rows = [
        f"| {point.min_score:g} | {100 * point.coverage:.1f} % | "
        f"{'none' if point.accuracy is None else f'{100 * point.accuracy:.1f} %'} |"
        for point in calibration.coverage
    ]
    return _CALIBRATION.format(
        temperature=calibration.temperature,
        fitted_on=counted(calibration.fitted_on, "face"),
        faces=calibration.faces,
        before=calibration.before,
        after=calibration.after,
        rows="\n".join(rows),
    )


def _weights(fitted: EnsembleWeights) -> str:
    figures = [
        (_plain(name), f"{fitted.weights[name]:.4f}", fitted.members.get(name, float("nan")))
        for name in fitted.weights
    ]
    figures += [("plain mean", "", fitted.mean), ("fitted weights", "", fitted.fitted)]
    return _WEIGHTS.format(
        faces=counted(fitted.faces, "face"),
        rows="\n".join(f"| {name} | {weight} | {100 * x:.2f} % |" for name, weight, x in figures),
        held_out=100 * fitted.held_out,
        verdict="beat" if fitted.beats_mean else "do not beat",
    )


def _training(training: TrainingRecord) -> str:
    return _TRAINING.format(
        # A backtick would end the code block.
        command=_line(training.command).replace("`", "'"),
        seed=training.seed,
        epochs=counted(len(training.history), "epoch"),
        minutes=counted(round(sum(record.seconds for record in training.history) / 60), "minute"),
        versions=_plain(", ".join(f"{name} {value}" for name, value in training.versions.items())),
        teacher=_teacher(training.teacher) if training.teacher else "",
    )


def _teacher(teacher: TeacherRecord) -> str:
    names = _plain(", ".join(teacher.networks))
    teaching = ", consistent teaching" if teacher.teaching == "consistent" else ""
    return f" Distilled from {names} (teacher weight {teacher.weight:g}{teaching})."


def _plain(text: str) -> str:
    """Return a stranger's text in one line, with HTML and Markdown escaped."""
    from html import escape

    escaped = escape(_line(text), quote=False)
    return escaped.translate({ord(char): f"&#{ord(char)};" for char in "[]`*_|"})


def _line(text: str) -> str:
    """Return a text as one line without control characters."""
    return "".join(char if char.isprintable() else " " for char in text[:1000])

"""The model card: README.md of a model folder, in the Hub's format."""

import re
from html import escape
from typing import TYPE_CHECKING

from emonet.config import RecognizerConfig
from emonet.errors import ConfigError
from emonet.evaluation.calibration import Calibration
from emonet.evaluation.robustness import Robustness
from emonet.training.distillation import TeacherRecord
from emonet.training.ensembling import LearntWeights
from emonet.training.record import UNKNOWN, TrainingRecord

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

__all__ = ["CARD_FILE", "LICENSE", "model_card", "require_license"]

CARD_FILE = "README.md"

#: How the Hub abbreviates licences: mit, cc-by-4.0, 0bsd.
LICENSE = r"[\w.-]+"

#: What is FER-2013 for certain: its training split's digest, and the size of both test splits.
_FER2013_DIGEST = "a532ea796b7343e2b1ab2401c3b3743f88102706ca46fe4b0b4f8e11e1fe93a6"
_FER2013_TEST_FACES = 3589

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")

#: By test-time augmentation: what an answer is made from.
_VIEWS = {
    "none": "single crop",
    "mirror": "mean over the face and its mirror image",
    "shift": "mean over 10 views: the face and its mirror image, in place and shifted",
}

_BODY = """\
# {title}

A facial expression recognizer made with [emonet](https://pypi.org/project/emonet/)
{version}. It tells which of {count} emotions a face shows: {labels}.

```python
from emonet import EmotionRecognizer

recognizer = EmotionRecognizer.from_pretrained("{source}")
print(recognizer.predict("photo.jpg").faces)
```

## Networks

| network | backbone | feature extractors | weight |
|---|---|---|---|
{networks}

Faces are found by `{detector}`, cut out, made grey and resized to {sizes} pixels.{views}

## Limits

A label says how a face looks to the people who labelled the training data, not what a person
feels. Labels of FER-2013, which most models here learn from, are noisy (people agree with
them in about 65 % of the cases, Goodfellow et al. 2013) and its faces are not a fair sample of
mankind. Don't use it to judge, select or watch people.
{evaluation}{robustness}{calibration}{weights}{training}"""

_EVALUATION = """
## Evaluation

{figures}"""

_ROBUSTNESS = """
## Robustness

Accuracy on {n} faces of {split} that were changed, and how many points that costs.

| | accuracy | points lost |
|---|---|---|
{rows}
"""

_CALIBRATION = """
## Calibration

Log-probabilities are divided by the temperature {temperature:.3f}, which {learnt_on} faces taught.
On {faces} others the expected calibration error is {after.ece:.4f} (without it
{before.ece:.4f}) and the log loss {after.log_loss:.4f} ({before.log_loss:.4f}). What a lowest
score (`min_score`) does, on those faces:

| lowest score | faces that keep a label | accuracy among them |
|---|---|---|
{rows}
"""

_WEIGHTS = """
## Weights

Learnt by differential evolution on {faces} faces, on which the members reach these accuracies.

| | weight | accuracy |
|---|---|---|
{rows}

Where the weights for each fifth of these faces were learnt on the others, the accuracy is
{held_out:.2f} %, so learning them {verdict} the plain mean.
"""

_TRAINING = """
## Training

```
{command}
```

Seed {seed}, {epochs} epochs, {minutes:.0f} minutes of training; {versions}. The log of every
epoch is in `training.json`.{teacher}
"""


def require_license(license: str | None) -> None:
    """Refuse a licence that is not written as the Hub abbreviates it.

    Raises:
        ConfigError: it is a name or a sentence.
    """
    if license is not None and not re.fullmatch(LICENSE, license):
        raise ConfigError(
            f"A licence is given as the Hub abbreviates it, such as mit, apache-2.0 or other, got "
            f"{license!r:.80}"
        )


def model_card(
    config: RecognizerConfig,
    title: str,
    training: TrainingRecord = UNKNOWN,
    *,
    license: str | None = None,
) -> str:
    """Return the text of README.md.

    Args:
        config: the recognizer.
        title: the headline.
        training: how the recognizer was trained.
        license: the weights' licence, as the Hub abbreviates it; None says nothing.

    Raises:
        ConfigError: the licence is written otherwise.
    """
    require_license(license)
    metadata = _metadata(title, training, license)
    rows = [
        f"| {network.name} | {network.backbone.name} | "
        f"{', '.join(part.name for part in network.features) or 'none'} | {network.weight:g} |"
        for network in config.networks
    ]
    body = _BODY.format(
        title=_plain(title),
        # A repository's name is its headline.
        source=title if _REPOSITORY.fullmatch(title) else "path/to/this/folder",
        version=config.emonet_version,
        count=len(config.labels),
        # Whoever shows the card as HTML must not run what a stranger called a label.
        labels=_plain(", ".join(config.labels)),
        networks="\n".join(rows),
        detector=config.detector.name,
        sizes=" and ".join(f"{height}x{width}" for height, width in config.face_sizes),
        views=_views(config),
        evaluation=_evaluation(config, training) if training.evaluation else "",
        robustness="".join(_robustness(*item) for item in training.robustness.items()),
        calibration=_calibration(training.calibration) if training.calibration else "",
        weights=_weights(training.learnt_weights) if training.learnt_weights else "",
        training=_training(training) if training.history else "",
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"


def _metadata(title: str, training: TrainingRecord, license: str | None) -> "ModelCardData":
    """Return what the Hub sorts and finds models by, and draws its tables of results from."""
    from huggingface_hub import ModelCardData

    results = [result for split in training.evaluation for result in _results(split, training)]
    return ModelCardData(
        library_name="emonet",
        license=license,
        pipeline_tag="image-classification",
        tags=["facial-expression-recognition", "emotion"],
        datasets=["fer2013"] if _learnt_from_fer2013(training) else None,
        metrics=["accuracy", "f1"] if results else None,
        model_name=title if results else None,
        eval_results=results or None,
    )


def _results(split: str, training: TrainingRecord) -> "list[EvalResult]":
    from huggingface_hub import EvalResult

    report = training.evaluation[split]
    known = report.n == _FER2013_TEST_FACES and _learnt_from_fer2013(training)
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


def _learnt_from_fer2013(training: TrainingRecord) -> bool:
    """Whether every network that a record tells of was trained on FER-2013's training split."""
    records = list(training.members.values()) or [training]
    data = [record.data.get("training") for record in records]
    return all(part is not None and part.sha256 == _FER2013_DIGEST for part in data)


def _views(config: RecognizerConfig) -> str:
    views = config.test_time_augmentation
    return "" if views == "none" else f"\nEach answer is the {_VIEWS[views]}."


def _evaluation(config: RecognizerConfig, training: TrainingRecord) -> str:
    figures = "".join(
        f"- {_plain(name)}: accuracy {100 * report.accuracy:.2f} % (95 % interval "
        f"{100 * report.accuracy_interval_95[0]:.2f} to "
        f"{100 * report.accuracy_interval_95[1]:.2f} %), macro F1 "
        f"{100 * report.macro_f1:.2f} %, {report.n} faces, "
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
    return _ROBUSTNESS.format(n=robustness.n, split=_plain(split), rows="\n".join(rows))


def _calibration(calibration: Calibration) -> str:
    rows = [
        f"| {point.min_score:g} | {100 * point.coverage:.1f} % | "
        f"{'none' if point.accuracy is None else f'{100 * point.accuracy:.1f} %'} |"
        for point in calibration.coverage
    ]
    return _CALIBRATION.format(
        temperature=calibration.temperature,
        learnt_on=calibration.learnt_on,
        faces=calibration.faces,
        before=calibration.before,
        after=calibration.after,
        rows="\n".join(rows),
    )


def _weights(learnt: LearntWeights) -> str:
    figures = [
        (_plain(name), f"{learnt.weights[name]:.4f}", learnt.members.get(name, float("nan")))
        for name in learnt.weights
    ]
    figures += [("plain mean", "", learnt.mean), ("with these weights", "", learnt.learnt)]
    return _WEIGHTS.format(
        faces=learnt.faces,
        rows="\n".join(f"| {name} | {weight} | {100 * x:.2f} % |" for name, weight, x in figures),
        held_out=100 * learnt.held_out,
        verdict="beats" if learnt.beat_the_mean else "does not beat",
    )


def _training(training: TrainingRecord) -> str:
    return _TRAINING.format(
        # Backticks in it would end the block.
        command=_line(training.command).replace("`", "'"),
        seed=training.seed,
        epochs=len(training.history),
        minutes=sum(record.seconds for record in training.history) / 60,
        versions=_plain(", ".join(f"{name} {value}" for name, value in training.versions.items())),
        teacher=_teacher(training.teacher) if training.teacher else "",
    )


def _teacher(teacher: TeacherRecord) -> str:
    names = _plain(", ".join(teacher.networks))
    asked = ", asked about every batch" if teacher.sees == "batches" else ""
    return f" Taught by {names} (share {teacher.share:g}{asked})."


def _plain(text: str) -> str:
    """Return a text that a stranger may have written without HTML or Markdown of theirs."""
    escaped = escape(_line(text), quote=False)
    return escaped.translate({ord(char): f"&#{ord(char)};" for char in "[]`*_|"})


def _line(text: str) -> str:
    """Return a text as one line without control characters."""
    return "".join(char if char.isprintable() else " " for char in text[:1000])

"""The model card: README.md of a model folder, in the Hub's format."""

from html import escape

from emonet.config import RecognizerConfig
from emonet.training.record import TrainingRecord

__all__ = ["model_card"]

_BODY = """\
# {title}

A facial expression recognizer made with [emonet](https://pypi.org/project/emonet/)
{version}. It tells which of {count} emotions a face shows: {labels}.

```python
from emonet import EmotionRecognizer

recognizer = EmotionRecognizer.from_pretrained("path/to/this/folder")
print(recognizer.predict("photo.jpg").faces)
```

## Networks

| network | backbone | feature extractors | weight |
|---|---|---|---|
{networks}

Faces are found by `{detector}`, cut out, made grey and resized to {height}x{width} pixels.

## Limits

A label says how a face looks to the people who labelled the training data, not what a person
feels. Labels of FER-2013, which most models here learn from, are noisy (people agree with
them in about 65 % of the cases, Goodfellow et al. 2013) and its faces are not a fair sample of
mankind. Don't use it to judge, select or watch people.
{evaluation}{training}"""

_EVALUATION = """
## Evaluation

{figures}"""

_TRAINING = """
## Training

```
{command}
```

Seed {seed}, {epochs} epochs, {minutes:.0f} minutes of training; {versions}. The log of every
epoch is in `training.json`.
"""


def model_card(config: RecognizerConfig, title: str, training: TrainingRecord | None = None) -> str:
    """Return the text of README.md.

    Args:
        config: the recognizer.
        title: the headline.
        training: how the recognizer was trained, if that is known.
    """
    from huggingface_hub import ModelCardData

    metadata = ModelCardData(
        library_name="emonet",
        pipeline_tag="image-classification",
        tags=["facial-expression-recognition", "emotion"],
    )
    rows = [
        f"| {network.name} | {network.backbone.name} | "
        f"{', '.join(part.name for part in network.features) or 'none'} | {network.weight:g} |"
        for network in config.networks
    ]
    body = _BODY.format(
        title=escape(title),
        version=config.emonet_version,
        count=len(config.labels),
        # Whoever shows the card as HTML must not run what a stranger called a label.
        labels=escape(", ".join(config.labels)),
        networks="\n".join(rows),
        detector=config.detector.name,
        height=config.crop.size[0],
        width=config.crop.size[1],
        evaluation=_evaluation(training) if training and training.evaluation else "",
        training=_training(training) if training and training.history else "",
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"


def _evaluation(training: TrainingRecord) -> str:
    figures = "".join(
        f"- {name}: accuracy {100 * report.accuracy:.2f} % (95 % interval "
        f"{100 * report.accuracy_interval_95[0]:.2f} to "
        f"{100 * report.accuracy_interval_95[1]:.2f} %), macro F1 "
        f"{100 * report.macro_f1:.2f} %, {report.n} faces, single crop\n"
        for name, report in training.evaluation.items()
    )
    return _EVALUATION.format(figures=figures)


def _training(training: TrainingRecord) -> str:
    return _TRAINING.format(
        command=training.command,
        seed=training.seed,
        epochs=len(training.history),
        minutes=sum(record.seconds for record in training.history) / 60,
        versions=", ".join(f"{name} {value}" for name, value in training.versions.items()),
    )

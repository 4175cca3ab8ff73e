"""``emonet train``, and what it shares with ``emonet distill``: from data to a model folder."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.options import (
    Data,
    License,
    Settings,
    WeightsDtype,
    options_of,
    parse_settings,
    typed_command,
)
from emonet.data import FaceDataset, load_dataset
from emonet.data.folders import folder_splits
from emonet.data.splits import TRAINING, VALIDATION, split_name
from emonet.errors import ConfigError
from emonet.plugin import Json
from emonet.recognizer import EmotionRecognizer
from emonet.runs import is_finished, train_folder
from emonet.training.distillation import TeacherSees
from emonet.training.recipes import Precision, get_recipe
from emonet.training.record import RECORD_FILE, read_record

__all__ = ["train", "train_model"]

logger = logging.getLogger("emonet")


def train_model(
    teacher: Annotated[
        str | None,
        typer.Argument(help="A bundled model, a model folder, or a Hub repository (org/name)."),
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="The model folder to write; also holds checkpoints.")],
    backbone: Annotated[
        str | None, typer.Option(help="A backbone, see 'emonet plugins'; resnet18 by default.")
    ] = None,
    backbone_option: Settings = None,
    features: Annotated[
        list[str] | None, typer.Option(help="A feature extractor to fuse; repeatable.")
    ] = None,
    feature_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME.KEY=VALUE",
            help="A setting of one of --features: bovw.landmarks=false; repeatable.",
        ),
    ] = None,
    face_size: Annotated[
        int | None,
        typer.Option(help="Side that faces are resized to when they are loaded: 48 by default."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="scratch, tune or paper.")] = "scratch",
    recipe_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A number of the recipe: mixup=0.4, augmentation.erase=0.5; repeatable.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's number.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Instead of the recipe's: float32 or bfloat16.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights, order and augmentation.")] = 0,
    ferplus: Annotated[
        Path | None, typer.Option(help="FER+ votes to use as soft labels for training.")
    ] = None,
    ferplus_share: Annotated[
        float, typer.Option(help="Of these votes in the targets, 0..1; the rest is the labels.")
    ] = 1,
    start_from: Annotated[
        str | None,
        typer.Option(help="A trained model: its network, trained on from its weights."),
    ] = None,
    pretrained: Annotated[bool, typer.Option(help="Start from the backbone's weights.")] = False,
    centred: Annotated[bool, typer.Option(help="Subtract the mean training face.")] = False,
    detector: Annotated[
        str | None,
        typer.Option(help="The detector to predict with: dlib_hog, or that of --start-from."),
    ] = None,
    detector_option: Settings = None,
    feature_cache: Annotated[
        Path | None, typer.Option(help="Where feature vectors are kept; beside the data.")
    ] = None,
    dtype: WeightsDtype = "float32",
    license: License = None,
    teacher_share: Annotated[
        float, typer.Option(help="Of the teacher's probabilities in the targets, 0..1.")
    ] = 0.7,
    teacher_sees: Annotated[
        TeacherSees,
        typer.Option(help="The training faces as they are, once, or every batch of the student."),
    ] = "faces",
) -> None:
    """Train a network in a folder of its own; without a teacher, on the labels alone."""
    command = typed_command()
    if is_finished(out):
        _refuse_another(command, out)
        logger.info("%s holds the finished model; nothing to do", out)
        return
    chosen = get_recipe(recipe).with_settings(parse_settings(recipe_option))
    parts = _typed(
        backbone=backbone,
        backbone_config=parse_settings(backbone_option),
        features=_with_settings(features or [], feature_option),
        face_size=None if face_size is None else (face_size, face_size),
        pretrained=pretrained,
        centred=centred,
    )
    finder = _typed(detector=detector, detector_config=parse_settings(detector_option))
    start = None if start_from is None else _load_start(start_from, parts, finder)
    size = start.config.face_sizes[0] if start else parts.get("face_size", (48, 48))
    training = load_dataset(
        data, TRAINING, ferplus=ferplus, ferplus_share=ferplus_share, face_size=size
    )
    validation = _validation(data, size)
    if start is None:
        recognizer = EmotionRecognizer(labels=training.labels, **parts, **finder)
    else:
        recognizer = EmotionRecognizer.like(start, labels=training.labels)
    taught_by = None if teacher is None else EmotionRecognizer.from_pretrained(teacher)
    import_keras_quietly()
    train_folder(
        recognizer,
        training,
        validation,
        out,
        dtype=dtype,
        license=license,
        recipe=chosen,
        epochs=epochs,
        precision=precision,
        seed=seed,
        feature_cache=feature_cache or _beside(data),
        teacher=taught_by,
        teacher_share=teacher_share,
        teacher_sees=teacher_sees,
        start_from=start,
        command=command,
        split=split_name(data, VALIDATION),
    )


def _typed(**options: Any) -> dict[str, Any]:
    """Return the options that were given; for the others EmotionRecognizer's defaults hold."""
    return {name: value for name, value in options.items() if value}


def _load_start(model: str, parts: dict[str, Any], finder: dict[str, Any]) -> EmotionRecognizer:
    """Load the model that training starts from; refuse to describe its network once more."""
    if parts:
        raise ConfigError(
            "The network is that of --start-from: leave out --backbone, --backbone-option, "
            "--features, --feature-option, --face-size, --pretrained and --centred"
        )
    return EmotionRecognizer.from_pretrained(model, **finder)


def _refuse_another(command: str, folder: Path) -> None:
    """Refuse a folder whose model another command has made."""
    record = read_record(folder / RECORD_FILE)
    known = record and record.command
    if known != command:
        made = "" if known is None else f", which was made by: {known}"
        raise ConfigError(f"{folder} holds a finished model already{made}. Choose another --out")


def _with_settings(features: list[str], given: list[str] | None) -> dict[str, dict[str, Json]]:
    """Share out settings that are written NAME.KEY=VALUE among feature extractors."""
    settings: dict[str, dict[str, Json]] = {name: {} for name in features}
    for key, value in parse_settings(given).items():
        name, dot, setting = key.partition(".")
        if not dot or name not in settings:
            raise ConfigError(
                f"A feature option is written NAME.KEY=VALUE with a NAME of --features "
                f"({', '.join(features) or 'none were given'}), got {key!r:.80}"
            )
        settings[name][setting] = value
    return settings


def _beside(data: Path) -> Path:
    data = data.absolute()
    return data.with_name(f"{data.name}.features")


@options_of(train_model, without=("teacher", "teacher_share", "teacher_sees"))
def train(**options: Any) -> None:
    """Train a network on the Training split and keep the epoch that is best on PublicTest.

    Killed at any moment and started again with the same command, it goes on from the last
    finished epoch. A folder of images without a validation split has a tenth held out.
    """
    train_model(teacher=None, **options)


def _validation(data: Path, size: tuple[int, int]) -> FaceDataset | None:
    """Load the split that chooses the epoch; a folder of images may have none."""
    if data.is_dir() and VALIDATION not in folder_splits(data):
        logger.info("Holding out a tenth of the training faces: %s has no validation", data)
        return None
    return load_dataset(data, VALIDATION, face_size=size)

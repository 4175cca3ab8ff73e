"""``emonet train``, and the code it shares with ``emonet distill``."""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

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
from emonet.experiments.runs import is_finished, train_folder
from emonet.plugin import Json
from emonet.recognizer import EmotionRecognizer
from emonet.records import Teaching
from emonet.storage.record_json import RECORD_FILE, read_record
from emonet.support.dependencies import require
from emonet.training.recipes import Precision, get_recipe

logger = logging.getLogger("emonet")


def train_model(
    teacher: Annotated[
        str | None,
        typer.Argument(help="The teacher: a bundled model, a model folder, or org/name."),
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
            help="A setting of a feature extractor: bovw.landmarks=false; repeatable.",
        ),
    ] = None,
    face_size: Annotated[
        int | None,
        typer.Option(help="Side length of the loaded faces, pixels; 48 by default."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="The recipe: scratch, tune or paper.")] = "scratch",
    recipe_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A recipe setting: mixup=0.4, augmentation.random_erasing=0.5; repeatable.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; by default the recipe's.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="float32 or bfloat16; by default the recipe's.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of initial weights, shuffling and augmentation.")
    ] = 0,
    ferplus: Annotated[
        Path | None, typer.Option(help="CSV file of FER+ votes to train on as soft labels.")
    ] = None,
    ferplus_weight: Annotated[
        float,
        typer.Option(help="Weight of the votes in the targets, 0..1; the labels get the rest."),
    ] = 1,
    start_from: Annotated[
        str | None,
        typer.Option(help="A trained model: use its network, and start from its weights."),
    ] = None,
    pretrained: Annotated[bool, typer.Option(help="Start from pretrained weights.")] = False,
    subtract_mean_face: Annotated[
        bool, typer.Option("--subtract-mean-face", help="Subtract the mean training face.")
    ] = False,
    detector: Annotated[
        str | None,
        typer.Option(help="Detector of the model; by default yunet, or the one of --start-from."),
    ] = None,
    detector_option: Settings = None,
    feature_cache: Annotated[
        Path | None, typer.Option(help="Folder for feature vectors; by default next to --data.")
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="all|N", help="Devices that share each batch; needs Keras on JAX."),
    ] = None,
    dtype: WeightsDtype = "float32",
    license: License = None,
    teacher_weight: Annotated[
        float, typer.Option(help="Weight of the teacher's probabilities in the targets, 0..1.")
    ] = 0.7,
    teaching: Annotated[
        Teaching,
        typer.Option(
            help="fixed: the teacher sees each face once; consistent: it sees every batch."
        ),
    ] = "fixed",
) -> None:
    """Train a network and save it in a model folder; teacher None trains on labels only."""
    require("train", f"emonet {'train' if teacher is None else 'distill'}")
    command = typed_command()
    if is_finished(out):
        _require_same_command(command, out)
        logger.info("%s already holds the finished model: nothing to do", out)
        return
    chosen = get_recipe(recipe).with_settings(parse_settings(recipe_option))
    network = _given(
        backbone=backbone,
        backbone_config=parse_settings(backbone_option),
        features=_with_settings(features or [], feature_option),
        face_size=None if face_size is None else (face_size, face_size),
        pretrained=pretrained,
        subtract_mean_face=subtract_mean_face,
    )
    detection = _given(detector=detector, detector_config=parse_settings(detector_option))
    start = None if start_from is None else _load_start(start_from, network, detection)
    size = start.config.face_sizes[0] if start else network.get("face_size", (48, 48))
    training = load_dataset(
        data, TRAINING, ferplus=ferplus, ferplus_weight=ferplus_weight, face_size=size
    )
    validation = _validation(data, size)
    if start is None:
        recognizer = EmotionRecognizer(labels=training.labels, **network, **detection)
    else:
        recognizer = EmotionRecognizer.like(start, labels=training.labels)
    teacher_recognizer = None if teacher is None else EmotionRecognizer.from_pretrained(teacher)
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
        feature_cache=feature_cache or _default_cache(data),
        teacher=teacher_recognizer,
        teacher_weight=teacher_weight,
        teaching=teaching,
        start_from=start,
        devices=_devices(devices),
        command=command,
        split=split_name(data, VALIDATION),
    )


def _devices(text: str | None) -> int | Literal["all"] | None:
    if text is None:
        return None
    if text == "all":
        return "all"
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ConfigError(f"--devices takes all or a whole number of 1 or more, got {text!r:.80}")
    return int(text)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options with a value; EmotionRecognizer has defaults for the others."""
    return {name: value for name, value in options.items() if value}


def _load_start(
    model: str, network: dict[str, Any], detection: dict[str, Any]
) -> EmotionRecognizer:
    """Load the model that training starts from; raise ConfigError for network options."""
    if network:
        raise ConfigError(
            "--start-from determines the network: leave out --backbone, --backbone-option, "
            "--features, --feature-option, --face-size, --pretrained and --subtract-mean-face"
        )
    return EmotionRecognizer.from_pretrained(model, **detection)


def _require_same_command(command: str, folder: Path) -> None:
    """Raise ConfigError if another command wrote the model in a folder."""
    record = read_record(folder / RECORD_FILE)
    known = record and record.command
    if known != command:
        origin = "" if known is None else f", written by: {known}"
        raise ConfigError(f"{folder} holds a finished model already{origin}. Choose another --out")


def _with_settings(features: list[str], given: list[str] | None) -> dict[str, dict[str, Json]]:
    """Return the settings of each feature extractor from NAME.KEY=VALUE options."""
    settings: dict[str, dict[str, Json]] = {name: {} for name in features}
    for key, value in parse_settings(given).items():
        name, dot, setting = key.partition(".")
        if not dot or name not in settings:
            raise ConfigError(
                f"Write feature options as NAME.KEY=VALUE with a NAME from --features "
                f"({', '.join(features) or 'none were given'}), got {key!r:.80}"
            )
        settings[name][setting] = value
    return settings


def _default_cache(data: Path) -> Path:
    data = data.absolute()
    return data.with_name(f"{data.name}.features")


@options_of(train_model, without=("teacher", "teacher_weight", "teaching"))
def train(**options: Any) -> None:
    """Train a network and write a model folder.

    It trains on Training and keeps the epoch that is best on PublicTest. For a folder of images
    without a validation split, a tenth of the training images is held out. Run the same command
    again after an interruption: it continues after the last finished epoch.
    """
    train_model(teacher=None, **options)


def _validation(data: Path, size: tuple[int, int]) -> FaceDataset | None:
    """Load the validation split; a folder of images may have none."""
    if data.is_dir() and VALIDATION not in folder_splits(data):
        logger.info("Holding out a tenth of the training faces: %s has no validation split", data)
        return None
    return load_dataset(data, VALIDATION, face_size=size)

"""``emonet train``: from a data set to a model folder, going on where it was interrupted."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.options import BackboneOption, Data, DetectorOption, parse_settings
from emonet.data import FaceDataset, load_dataset
from emonet.data.folders import folder_splits
from emonet.recognizer import EmotionRecognizer
from emonet.runs import is_finished, train_folder
from emonet.storage.folder import Dtype
from emonet.training.recipes import Precision

__all__ = ["train"]

logger = logging.getLogger("emonet")


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The model folder to write; also holds checkpoints.")],
    backbone: Annotated[str, typer.Option(help="A backbone, see 'emonet plugins'.")] = "resnet18",
    backbone_option: BackboneOption = None,
    features: Annotated[
        list[str] | None, typer.Option(help="A feature extractor to fuse; repeatable.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="scratch or paper.")] = "scratch",
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's number.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Instead of the recipe's: float32 or bfloat16.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights, order and augmentation.")] = 0,
    ferplus: Annotated[
        Path | None, typer.Option(help="FER+ votes to use as soft labels for training.")
    ] = None,
    pretrained: Annotated[bool, typer.Option(help="Start from the backbone's weights.")] = False,
    centred: Annotated[bool, typer.Option(help="Subtract the mean training face.")] = False,
    detector: Annotated[str, typer.Option(help="The detector to predict with.")] = "dlib_hog",
    detector_option: DetectorOption = None,
    feature_cache: Annotated[
        Path | None, typer.Option(help="Where feature vectors are kept; beside the data.")
    ] = None,
    dtype: Annotated[
        Dtype, typer.Option(help="Of the saved weights: float32 or float16.")
    ] = "float32",
    license: Annotated[
        str | None, typer.Option(help="Of the weights, for the model card: mit, cc-by-4.0 ...")
    ] = None,
) -> None:
    """Train a network on the Training split and keep the epoch that is best on PublicTest.

    Killed at any moment and started again with the same command, it goes on from the last
    finished epoch. A folder of images without a validation split has a tenth held out.
    """
    if is_finished(out):
        logger.info("%s holds a finished model; nothing to do", out)
        return
    out.mkdir(parents=True, exist_ok=True)
    training = load_dataset(data, "Training", ferplus=ferplus)
    validation = _validation(data)
    recognizer = EmotionRecognizer(
        backbone,
        features or [],
        labels=training.labels,
        detector=detector,
        backbone_config=parse_settings(backbone_option),
        detector_config=parse_settings(detector_option),
        centred=centred,
        pretrained=pretrained,
    )
    import_keras_quietly()
    train_folder(
        recognizer,
        training,
        validation,
        out,
        dtype=dtype,
        license=license,
        recipe=recipe,
        epochs=epochs,
        precision=precision,
        seed=seed,
        feature_cache=feature_cache or data.with_name(f"{data.name}.features"),
        command=shlex.join(["emonet", *sys.argv[1:]]),
    )


def _validation(data: Path) -> FaceDataset | None:
    """Load the split that chooses the epoch; a folder of images may have none."""
    if data.is_dir() and "PublicTest" not in folder_splits(data):
        logger.info("Holding out a tenth of the training faces: %s has no validation", data)
        return None
    return load_dataset(data, "PublicTest")

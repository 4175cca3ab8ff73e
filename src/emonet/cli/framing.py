"""``emonet framing``: measure the framing of another detector for a model folder."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.options import Data, Settings, parse_settings
from emonet.data import load_dataset
from emonet.data.splits import TRAINING
from emonet.recognizer import EmotionRecognizer
from emonet.storage.update import update_model

logger = logging.getLogger("emonet")


def framing(
    model: Annotated[Path, typer.Argument(help="The model folder to change.")],
    data: Data,
    detector: Annotated[str, typer.Option(help="A face detector, see 'emonet plugins'.")],
    detector_option: Settings = None,
) -> None:
    """Measure the framing of a model for another detector.

    Framing is the position of the training faces relative to a detector's boxes. 'emonet train'
    measures it for the detector of the model. Run this command for any other detector that you
    use with the model. Only config.json changes.
    """
    recognizer = EmotionRecognizer.from_pretrained(
        model, detector=detector, detector_config=parse_settings(detector_option)
    )
    faces = load_dataset(data, TRAINING, face_size=recognizer.config.face_sizes[0]).images
    before = recognizer.model
    if recognizer.measure_framing(faces).model is before:
        logger.warning("%s: nothing was changed", detector)
        return
    measured = recognizer.config.framing[detector]
    update_model(
        model,
        lambda stored: replace(stored, config=stored.config.with_framing(detector, measured)),
    )
    logger.info("%s: %s", detector, measured)

"""``emonet framing``: teach a model folder how another detector's boxes have to be cut."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.options import Data, Settings, parse_settings
from emonet.data import load_dataset
from emonet.data.splits import TRAINING
from emonet.recognizer import EmotionRecognizer
from emonet.storage.folder import CONFIG_FILE, read_config, write_config

__all__ = ["framing"]

logger = logging.getLogger("emonet")


def framing(
    model: Annotated[Path, typer.Argument(help="The model folder to change.")],
    data: Data,
    detector: Annotated[str, typer.Option(help="A face detector, see 'emonet plugins'.")],
    detector_option: Settings = None,
) -> None:
    """Measure how the training faces are framed in terms of a detector's boxes.

    'emonet train' does it for the detector it is given; do it for any other that the model
    will be used with. Only config.json changes.
    """
    recognizer = EmotionRecognizer.from_pretrained(
        model, detector=detector, detector_config=parse_settings(detector_option)
    )
    faces = load_dataset(data, TRAINING, face_size=recognizer.config.face_sizes[0]).images
    before = recognizer.config
    if recognizer.measure_framing(faces).config is before:
        logger.warning("%s: nothing was changed", detector)
        return
    measured = recognizer.config.framing[detector]
    config = read_config(model / CONFIG_FILE)
    write_config(model, config.with_framing(detector, measured))
    logger.info("%s: %s", detector, measured)

"""Load the recognizer that a command's options describe."""

from collections.abc import Iterable

from emonet.cli.backend import prepare
from emonet.cli.options import parse_settings
from emonet.recognizer import EmotionRecognizer
from emonet.runtimes import Device, RuntimeName
from emonet.runtimes.batching import BATCH_SIZE


def load_recognizer(
    model: str | None,
    *,
    detector: str | None = None,
    detector_option: Iterable[str] | None = None,
    runtime: RuntimeName | None = None,
    device: Device = "auto",
    batch_size: int = BATCH_SIZE,
) -> EmotionRecognizer:
    """Return the recognizer, with Keras imported quietly if a network needs it."""
    recognizer = EmotionRecognizer.from_pretrained(
        model,
        detector=detector,
        detector_config=parse_settings(detector_option),
        runtime=runtime,
        device=device,
        batch_size=batch_size,
    )
    prepare(recognizer)
    return recognizer

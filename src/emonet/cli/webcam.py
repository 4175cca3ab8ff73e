"""``emonet webcam``: the expressions in front of a camera, as a live table."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from emonet.cli.loading import load_recognizer
from emonet.cli.options import Detector, MinScore, Model, OnDevice, Runtime, Settings
from emonet.cli.video import Annotate, annotated_film, require_webm
from emonet.results import VideoFrame

if TYPE_CHECKING:
    from rich.table import Table

BAR = 20


def webcam(
    camera: Annotated[
        str, typer.Option(help="Number of the camera, or a video that plays at its own speed.")
    ] = "0",
    annotated: Annotate = None,
    model: Model = None,
    detector: Detector = None,
    detector_option: Settings = None,
    min_score: MinScore = 0.0,
    runtime: Runtime = None,
    device: OnDevice = "auto",
) -> None:
    """Show the expressions in front of a camera in the terminal. Ctrl-C ends it."""
    from rich.console import Console
    from rich.live import Live

    require_webm(annotated)
    recognizer = load_recognizer(
        model, detector=detector, detector_option=detector_option, runtime=runtime, device=device
    )
    frames = recognizer.stream_video(
        int(camera) if camera.isdecimal() else camera,
        live=True,
        min_score=min_score,
        images=annotated is not None,
    )
    with ExitStack() as stack:
        live = stack.enter_context(Live(console=Console(), auto_refresh=False))
        film = stack.enter_context(annotated_film(annotated)) if annotated else None
        dropped = 0
        try:
            for frame in frames:
                dropped += frame.dropped
                live.update(_table(frame, dropped), refresh=True)
                if film is not None:
                    film(frame)
        except KeyboardInterrupt:
            pass  # the usual end


def _table(frame: VideoFrame, dropped: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    title = f"{frame.seconds:.1f} s, {dropped} frames skipped"
    table = Table("track", "expression", "score", "", title=title, title_justify="left")
    for face in frame.faces:
        bar = "█" * round(BAR * face.score)
        table.add_row(
            str(face.track),
            Text(face.label or "uncertain"),
            f"{100 * face.score:.0f} %",
            f"{bar:<{BAR}}",
        )
    return table

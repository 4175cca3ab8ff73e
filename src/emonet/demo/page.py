"""The page, made with Gradio, and the server that shows it on this machine only."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from emonet.demo.answers import Answers, Camera
from emonet.errors import EmonetError
from emonet.recognizer import EmotionRecognizer
from emonet.sample import sample_photo
from emonet.support.network import bind, url_of

HOST = "127.0.0.1"
TITLE = "emonet"
INTRODUCTION = """\
# emonet
A label describes how an expression looks. It does not tell what a person feels, thinks or intends,
and some labels are wrong. Don't decide about people with it. Everything stays on this machine.
"""
#: Fonts of the system: Gradio's own would come from another server.
FONTS = ("system-ui", "sans-serif")
MONOSPACE = ("ui-monospace", "monospace")
#: Seconds between the frames that the browser sends.
FRAME_SECONDS = 0.2
#: Seconds after which a webcam pauses, in case that nobody looks.
CAMERA_SECONDS = 600
#: Seconds between two looks for old files, and the age at which a file is old.
OLD_FILES = (300, 3600)
MAX_FILE_SIZE = "256mb"
#: Seconds for answers in progress when the demo ends.
GRACE = 2


def serve(recognizer: EmotionRecognizer, port: int, *, ready: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Args:
        recognizer: the recognizer.
        port: the port; 0 takes a free one.
        ready: called with the URL when browsers can connect.

    Raises:
        ConfigError: the port is in use.
    """
    with TemporaryDirectory(prefix="emonet-") as folder, bind(HOST, port) as listening:
        page = build(recognizer, Path(folder))
        import gradio
        from fastapi import FastAPI
        from uvicorn import Config, Server

        app = gradio.mount_gradio_app(
            FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
            page,
            path="/",
            server_name=HOST,
            server_port=listening.getsockname()[1],
            show_error=False,
            max_file_size=MAX_FILE_SIZE,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            enable_monitoring=False,
            mcp_server=False,
            theme=gradio.themes.Default(font=FONTS, font_mono=MONOSPACE),
        )
        config = Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE)
        listening.listen()
        ready(url_of(HOST, listening))
        Server(config).run(sockets=[listening])


def build(recognizer: EmotionRecognizer, folder: Path) -> Any:
    """Return the page as Gradio's Blocks.

    Args:
        recognizer: the recognizer.
        folder: gets uploaded files and files to download.
    """
    # Gradio reads both when it is imported; values of the user are kept.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(folder))
    import gradio

    answers = Answers(recognizer, folder)
    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=OLD_FILES) as page:
        gradio.Markdown(INTRODUCTION)
        with gradio.Tab("Photo"):
            _photo_tab(answers)
        with gradio.Tab("Webcam"):
            _webcam_tab(recognizer)
        with gradio.Tab("Film"):
            _film_tab(answers)
    return page


def _photo_tab(answers: Answers) -> None:
    import gradio

    with gradio.Row():
        with gradio.Column():
            photo = _file_image("Photo")
            gradio.Examples([[str(sample_photo())]], photo)
            label = gradio.Dropdown(
                [("the most probable label", ""), *answers.recognizer.labels],
                label="Heat map for",
                value="",
            )
        annotated = _shown_image("Faces")
        heat_map = _shown_image("Heat map")
    with gradio.Row():
        probabilities = gradio.Label(label="Probabilities of the largest face")
        with gradio.Column(scale=2):
            table = gradio.Dataframe(label="Faces", interactive=False)
            file = gradio.DownloadButton("Download the table (CSV)", value=None)

    @_with_messages
    def look(path: str | None) -> tuple[Any, ...]:
        return (None, None, None, None) if path is None else answers.photo(path)

    @_with_messages
    def explain(path: str | None, chosen: str) -> Any:
        return None if path is None else answers.heat_map(path, chosen or None)

    shown = photo.change(look, photo, [annotated, probabilities, table, file])
    shown.success(explain, [photo, label], heat_map)
    label.input(explain, [photo, label], heat_map)


def _webcam_tab(recognizer: EmotionRecognizer) -> None:
    import gradio

    camera = gradio.State(None, delete_callback=_close)
    with gradio.Row():
        webcam = gradio.Image(label="Webcam", sources=["webcam"], streaming=True, type="numpy")
        annotated = _shown_image("Faces")
        probabilities = gradio.Label(label="Probabilities of the largest face")

    @_with_messages
    def look(image: Any, current: Camera | None) -> tuple[Any, ...]:
        if image is None:
            return None, None, current
        current = current or Camera(recognizer)
        return (*current.look(image), current)

    webcam.stream(
        look,
        [webcam, camera],
        [annotated, probabilities, camera],
        stream_every=FRAME_SECONDS,
        time_limit=CAMERA_SECONDS,
        concurrency_limit=1,
        show_progress="hidden",
    )


def _film_tab(answers: Answers) -> None:
    import gradio

    with gradio.Row():
        with gradio.Column():
            film = gradio.File(label="Film", file_types=["video", ".gif"], type="filepath")
            stop = gradio.Button("Stop")
        preview = _shown_image("Faces")
        annotated = gradio.Video(label="Annotated film", interactive=False, buttons=["download"])
    file = gradio.DownloadButton("Download the table (CSV)", value=None)

    @_with_messages
    def look(path: str | None) -> Iterator[tuple[Any, ...]]:
        yield None, None, None
        if path is not None:
            yield from answers.film(path)

    looking = film.change(look, film, [preview, annotated, file], concurrency_limit=1)
    stop.click(None, cancels=[looking])


def _file_image(label: str) -> Any:
    import gradio

    image = gradio.Image(label=label, type="filepath", sources=["upload", "clipboard"])
    # emonet opens the file, within its limits and with its messages. Gradio would open it first.
    # A subclass is no way: Gradio writes a file beside the source of each subclass.
    read_path: Any = lambda payload: None if payload is None else payload.path  # noqa: E731
    image.preprocess = read_path  # type: ignore[method-assign]
    return image


def _shown_image(label: str) -> Any:
    import gradio

    # Gradio's button to share would publish the image.
    return gradio.Image(label=label, interactive=False, buttons=["download", "fullscreen"])


def _close(camera: Camera | None) -> None:
    if camera is not None:
        camera.close()


def _with_messages(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show emonet's errors on the page; Gradio hides the messages of all others."""
    import inspect

    import gradio

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generating(*arguments: Any) -> Iterator[Any]:
            try:
                yield from function(*arguments)
            except EmonetError as error:
                raise gradio.Error(str(error), print_exception=False) from error

        return generating

    @functools.wraps(function)
    def answering(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except EmonetError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    return answering

"""predict as people call it: folders, open files, arrays of other libraries, results to draw."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageShow

from emonet import EmotionRecognizer, load_image
from emonet.errors import ImageError, InputError


@pytest.fixture(scope="module")
def fast() -> EmotionRecognizer:
    return EmotionRecognizer.from_pretrained("tiny")


@pytest.fixture
def folder(tmp_path: Path, astronaut: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("b.jpg", "sub/a.jpg"):
        (tmp_path / name).write_bytes(astronaut.read_bytes())
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "damaged.png").write_text("not an image")
    return tmp_path


@pytest.mark.parametrize("form", [str, Path])
def test_a_folder_gives_the_results_of_its_images(fast, folder, form) -> None:
    results = fast.predict(form(folder))
    assert [Path(result.path).relative_to(folder) for result in results] == [
        *(Path("b.jpg"), Path("damaged.png"), Path("sub/a.jpg"))
    ]
    assert [len(result.faces) for result in results] == [1, 0, 1]
    assert isinstance(results[1].error, ImageError)
    assert [result.path for result in fast.stream(form(folder))] == [
        result.path for result in results
    ]


def test_a_folder_without_images_is_refused(fast, tmp_path) -> None:
    with pytest.raises(InputError, match="holds no images"):
        fast.predict(tmp_path)


def test_calling_a_recognizer_predicts(fast, astronaut) -> None:
    assert fast(astronaut) == fast.predict(astronaut)
    assert fast([astronaut]) == fast.predict([astronaut])


def test_results_can_be_drawn_without_passing_the_image_again(fast, astronaut) -> None:
    pixels = load_image(astronaut)
    data = astronaut.read_bytes()
    expected = fast.predict(astronaut).draw()
    opened = Image.open(astronaut)
    sources = [pixels, data, io.BytesIO(data), opened, np.array(pixels)]
    for source in sources:
        assert fast.predict(source).source is source
        assert fast.predict(source).draw() == expected
    results = fast.predict(sources)
    assert all(result.source is source for result, source in zip(results, sources, strict=True))
    opened.close()
    (one,) = fast.predict(pixels[np.newaxis])
    assert one.draw() == expected
    assert fast.predict(astronaut).source is None


def test_show_opens_the_annotated_image_in_a_viewer(fast, astronaut, monkeypatch) -> None:
    shown = []

    class Viewer(ImageShow.Viewer):
        def show(self, image, **options) -> int:
            shown.append(image.copy())
            return 1

    monkeypatch.setattr(ImageShow, "_viewers", [Viewer()])
    result = fast.predict(astronaut)
    result.show()
    result.show(bars=True)
    assert shown == [result.draw(), result.draw(bars=True)]


def test_progress_is_a_bar_on_a_terminal(fast, astronaut, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    expected = fast.predict([astronaut] * 2)
    assert sys.stderr.getvalue() == ""
    assert fast.predict([astronaut] * 2, progress=True) == expected
    assert "Images" in sys.stderr.getvalue()


def test_streams_and_iterators_keep_no_image(fast, astronaut) -> None:
    pixels = load_image(astronaut)
    for result in (*fast.stream([pixels]), *fast.predict(iter([pixels]))):
        assert result.source is None
        with pytest.raises(InputError, match="pass draw"):
            result.draw()
        assert result.draw(pixels).size == (400, 400)


def test_a_closed_file_is_told_when_it_is_drawn(fast, astronaut) -> None:
    with astronaut.open("rb") as file:
        result = fast.predict(file)
    with pytest.raises(ImageError, match="closed file"):
        result.draw()


@pytest.mark.slow
@pytest.mark.parametrize("library", ["jax.numpy", "tensorflow", "torch"])
def test_tensors_are_images(fast, astronaut, library) -> None:
    module = pytest.importorskip(library)
    convert = {"tensorflow": "constant", "torch": "from_numpy"}.get(library, "asarray")
    pixels = load_image(astronaut)
    tensor = getattr(module, convert)(pixels)
    result = fast.predict(tensor)
    assert result.faces == fast.predict(pixels).faces
    assert result.draw().size == (400, 400)

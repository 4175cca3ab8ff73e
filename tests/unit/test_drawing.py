"""What draw puts on an image, and what it leaves alone."""

import copy
import io
import logging
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import emonet
from emonet.drawing import fonts
from emonet.drawing.draw import GREY, YELLOW
from emonet.drawing.layout import Layout
from emonet.drawing.png import NOTEBOOK_SIDE, is_annotated, save_annotated
from emonet.errors import ImageNotFoundError, InputError
from emonet.labels import FER2013
from emonet.results import Box, Detection, Face, ImageResult, TrackedFace, VideoFrame

SHARES = dict(zip(FER2013, (0.01, 0.02, 0.03, 0.9, 0.01, 0.01, 0.02), strict=True))


def face(x, y, width, height, label="happiness", *, shares=SHARES) -> Face:
    box = Box(x, y, width, height)
    return Face(box, label, max(shares.values()), shares, Detection(box))


def tracked(box: tuple[int, int, int, int], number: int) -> TrackedFace:
    one = face(*box)
    return TrackedFace(
        box=one.box,
        label=one.label,
        score=one.score,
        probabilities=one.probabilities,
        detection=one.detection,
        track=number,
        raw_probabilities=SHARES,
    )


def grey(width=320, height=240, value=90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def changed(image: np.ndarray, faces, **options) -> np.ndarray:
    """Return which pixels drawing changes, (height, width)."""
    drawn = emonet.draw(image, faces, **options)
    assert (drawn.mode, drawn.size) == ("RGB", image.shape[1::-1])
    return (np.asarray(drawn) != image).any(axis=2)


def test_a_face_gets_a_box_and_a_label_and_nothing_else_changes() -> None:
    image = grey()
    marked = changed(image, [face(100, 80, 60, 60)])
    assert (image == 90).all()
    assert marked[80, 100:160].all()
    assert marked[80:140, 159].all()
    assert not marked[90:130, 110:150].any()  # the face itself
    label = marked[60:79, 101:150]
    assert label.mean() > 0.6
    marked[60:142, 98:200] = False
    assert not marked.any()


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("size", [(320, 240), (64, 48), (48, 48), (9, 7), (1, 1), (2000, 40)])
def test_everything_lies_in_the_picture_wherever_the_face_is(size, bars) -> None:
    """A label of the same text is as large in a corner as in the middle: nothing is cut off."""
    width, height = size
    side = max(1, min(width, height) // 3)
    lefts, tops = (0, (width - side) // 2, width - side), (0, (height - side) // 2, height - side)
    areas = []
    for x in lefts:
        for y in tops:
            drawn = emonet.draw(grey(width, height), [face(x, y, side, side)], bars=bars)
            assert drawn.size == size
            areas.append(label_area(drawn))
    assert len({area for area in areas if area}) <= 1 or min(areas) > 0.6 * max(areas)


def label_area(drawn: Image.Image) -> int:
    return int((np.asarray(drawn) == YELLOW).all(axis=2).sum())


def test_a_layout_moves_rectangles_into_the_picture_and_off_the_others() -> None:
    layout = Layout(100, 50, [Box(0, 0, 20, 20)])
    assert layout.place(30, 10, [(90, 45)]) == (70, 40, 100, 50)
    assert layout.place(10, 10, [(5, 5), (30, 5)]) == (30, 5, 40, 15)
    assert layout.place(10, 10, [(30, 5), (50, 5)]) == (50, 5, 60, 15)
    # Nowhere is free: where it covers least.
    assert layout.place(10, 10, [(50, 5), (15, 15)]) == (15, 15, 25, 25)


def test_labels_of_neighbours_stay_apart() -> None:
    one, two = face(100, 100, 30, 30), face(132, 100, 30, 30)
    both = label_area(emonet.draw(grey(), [one, two]))
    alone = [label_area(emonet.draw(grey(), [part])) for part in (one, two)]
    assert both == sum(alone)


@pytest.mark.parametrize("value", [0, 90, 215, 255])
def test_a_label_is_readable_on_any_ground(value) -> None:
    drawn = np.asarray(emonet.draw(grey(value=value), [face(100, 80, 60, 60)])).astype(int)
    ground = (drawn == YELLOW).all(axis=2)
    letters = drawn.max(axis=2) < 90
    rows, columns = np.nonzero(ground[60:80, 100:190])
    inside = letters[60:80, 100:190][rows.min() : rows.max(), columns.min() : columns.max()]
    assert 0.02 < inside.mean() < 0.5
    # The yellow box stands between black lines.
    assert ground[100, 100]
    assert (drawn[100, (99, 101)] == 0).all()


def test_labels_grow_with_the_picture() -> None:
    small = label_area(emonet.draw(grey(400, 300), [face(100, 100, 90, 90)]))
    large = label_area(emonet.draw(grey(4000, 3000), [face(1000, 1000, 900, 900)]))
    assert 60 < large / small < 140


def test_an_uncertain_face_is_grey_and_said() -> None:
    drawn = np.asarray(emonet.draw(grey(), [face(100, 80, 60, 60, None)]))
    assert (drawn == GREY).all(axis=2).sum() > 500
    assert not (drawn == YELLOW).all(axis=2).any()


def test_the_number_of_a_track_is_drawn() -> None:
    plain = emonet.draw(grey(), [face(100, 80, 60, 60)])
    first, second = (emonet.draw(grey(), [tracked((100, 80, 60, 60), n)]) for n in (1, 2))
    assert label_area(first) > label_area(plain)
    assert first != second


def test_bars_are_as_long_as_the_probabilities() -> None:
    shares = {"a": 0.5, "b": 0.25, "c": 0.25}
    image = grey(800, 800)
    without = np.asarray(emonet.draw(image, [face(100, 300, 200, 200, "a", shares=shares)]))
    drawn = emonet.draw(image, [face(100, 300, 200, 200, "a", shares=shares)], bars=True)
    chart = np.asarray(drawn)[:, 302:].astype(int)
    bars = [(chart == colour).all(axis=2) for colour in (YELLOW, GREY)]
    longest, others = (bar[bar.any(axis=1)].sum(axis=1).max() for bar in bars)
    assert abs(longest - 2 * others) <= 2
    assert not (without[300:500, 302:] == GREY).all(axis=2).any()


def test_a_chart_of_many_classes_shows_the_most_probable_ones() -> None:
    shares = {f"class {i}": i for i in range(100)}
    total = sum(shares.values())
    shares = {name: value / total for name, value in shares.items()}
    marked = changed(grey(400, 300), [face(10, 10, 80, 80, "class 99", shares=shares)], bars=True)
    assert marked[:, 100:].sum() < 0.5 * 300 * 300


def test_a_face_of_one_pixel_and_no_face_are_drawn() -> None:
    assert changed(grey(), [face(100, 80, 1, 1)])[80, 100]
    assert not changed(grey(), []).any()


def test_a_result_and_a_frame_are_drawn_by_their_faces() -> None:
    image, one = grey(), face(100, 80, 60, 60)
    expected = emonet.draw(image, [one])
    result = ImageResult(None, 320, 240, (one,), source=image)
    frame = VideoFrame(index=0, seconds=0, width=320, height=240, faces=(one,), image=image)
    for drawn in (emonet.draw(image, result), result.draw(), result.draw(image), frame.draw()):
        assert drawn == expected
    with pytest.raises(InputError, match=r"320x240 pixels, got an image of 200x100"):
        emonet.draw(grey(200, 100), result)


def test_a_result_without_its_image_says_what_to_pass(tmp_path: Path) -> None:
    result = ImageResult(None, 320, 240, (face(100, 80, 60, 60),))
    with pytest.raises(InputError, match=r"pass draw\(image=\.\.\.\)"):
        result.draw()
    assert result.draw(grey()).size == (320, 240)
    frame = VideoFrame(index=0, seconds=0, width=320, height=240)
    with pytest.raises(InputError, match=r"This VideoFrame has no image"):
        frame.draw()
    gone = ImageResult(str(tmp_path / "gone.png"), 320, 240)
    with pytest.raises(ImageNotFoundError, match=r"gone\.png"):
        gone.draw()
    assert [one._repr_png_() for one in (result, frame, gone)] == [None] * 3


def test_a_notebook_gets_a_png_of_bounded_size() -> None:
    result = ImageResult(None, 3000, 1500, (face(100, 80, 60, 60),), source=grey(3000, 1500))
    png = result._repr_png_()
    assert png is not None
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.size) == ("PNG", (NOTEBOOK_SIDE, NOTEBOOK_SIDE // 2))


def test_a_result_is_equal_shown_and_copied_without_its_image() -> None:
    one = face(100, 80, 60, 60)
    bare, whole = (
        ImageResult(None, 320, 240, (one,)),
        ImageResult(None, 320, 240, (one,), source=grey()),
    )
    assert bare == whole
    assert repr(bare) == repr(whole)
    assert bare.to_dict() == whole.to_dict()
    again = copy.copy(whole)  # as pickle does
    assert again == whole
    assert again.source is None


def test_a_copy_has_a_mark(tmp_path: Path) -> None:
    save_annotated(emonet.draw(grey(), []), tmp_path / "copy.png")
    Image.fromarray(grey()).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text("text")
    marked = [is_annotated(tmp_path / f"{name}.png") for name in ("copy", "other", "text", "gone")]
    assert marked == [True, False, False, False]


@pytest.fixture
def only_matplotlib(monkeypatch) -> None:
    """Leave the fonts of this machine out, so that every machine finds the same ones."""
    for cached in (fonts._font_file, fonts._font_files, fonts._report):
        cached.cache_clear()
    monkeypatch.setattr(fonts, "_system_folders", lambda: iter(()))
    yield
    for cached in (fonts._font_file, fonts._font_files, fonts._report):
        cached.cache_clear()


@pytest.mark.usefixtures("only_matplotlib")
def test_a_font_that_covers_the_label_is_searched() -> None:
    if find_spec("matplotlib") is None:
        pytest.skip("Matplotlib has the font")
    assert fonts.font_for("happiness 95 %", 20).getname()[0].startswith("Aileron")
    russian = fonts.font_for("радость, Ärger", 20)
    assert russian.getname()[0] == "DejaVu Sans"
    assert russian.size == 20


@pytest.mark.usefixtures("only_matplotlib")
def test_a_script_that_no_font_has_is_told_once(caplog) -> None:
    with caplog.at_level(logging.WARNING, "emonet"):
        for _ in range(2):
            drawn = emonet.draw(grey(), [face(100, 80, 60, 60, "喜び")])
        emonet.draw(grey(), [face(100, 80, 60, 60, "喜")])
    assert label_area(drawn)
    scripts = [record.args[0] for record in caplog.records]
    assert sorted(scripts) == ["cjk", "hiragana"]

"""Many images become one stream of results, in order, whatever befalls one of them."""

import collections
import itertools
import subprocess
import sys
import threading
import traceback
import weakref

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence
from tests.conftest import TINY, FixedDetector, Frame, Tensor, make_faces

from emonet import EmotionRecognizer
from emonet.config import Framing
from emonet.errors import (
    ConfigError,
    EmonetError,
    ImageError,
    InputError,
    NotFittedError,
    PluginRuntimeError,
)
from emonet.labels import FER2013
from emonet.pipeline.streaming import (
    AHEAD_PER_WORKER,
    CHUNK_FACES,
    MAX_WORKERS,
    DetectorPool,
    stream_results,
)
from emonet.plugin import usable_cores
from emonet.registry.guard import GuardedDetector
from emonet.results import Box, Detection

LABELS = ("dark", "bright")
CHUNK_IMAGES = CHUNK_FACES // 2
WORKERS = min(usable_cores(), MAX_WORKERS)
IMAGES_AHEAD = AHEAD_PER_WORKER * WORKERS


def plain_image(value):
    return np.full((40, 50, 3), value, np.uint8)


def faces_in_a_row(count):
    return [Detection(Box(x % 40, 5, 10, 10), score=1 - x / 1000) for x in range(count)]


class Brightness:
    """Classifies by mean grey value and remembers how many faces each call brought."""

    def __init__(self):
        self.calls = []

    def __call__(self, faces):
        faces = faces[8, 8]
        self.calls.append(len(faces))
        bright = faces.mean(axis=(1, 2)) / 255
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)


def stream(
    sources,
    *,
    detect=lambda image: faces_in_a_row(1),
    detectors=None,
    classify=None,
    **options,
):
    fixed = DetectorPool(lambda: GuardedDetector(FixedDetector(detect), "detector fixed"))
    return stream_results(
        sources,
        detectors=detectors or fixed,
        framing=Framing(),
        face_sizes=[(8, 8)],
        classify=classify or Brightness(),
        labels=LABELS,
        **options,
    )


def test_results_come_in_the_order_of_the_images():
    results = list(stream(plain_image(value) for value in range(200)))
    assert [round(r.faces[0].probabilities["bright"] * 255) for r in results] == list(range(200))
    assert results[0].faces[0].label == "dark"
    assert results[199].faces[0].label == "bright"


def test_one_array_may_be_filled_again_and_again():
    class Camera:
        def __iter__(self):
            buffer = plain_image(0)
            for value in range(100):
                buffer[:] = value
                yield buffer

    results = list(stream(Camera()))
    assert [round(r.faces[0].probabilities["bright"] * 255) for r in results] == list(range(100))


@pytest.mark.parametrize("count", [0, 3, CHUNK_IMAGES + 3, 2 * IMAGES_AHEAD])
def test_what_came_before_the_source_failed_gets_its_results_first(count):
    def film():
        yield from (plain_image(value) for value in range(count))
        raise OSError("the file ends here")

    results = []
    with pytest.raises(OSError, match="the file ends here"):
        collections.deque(map(results.append, stream(film())), maxlen=0)
    assert [round(r.faces[0].probabilities["bright"] * 255) for r in results] == list(range(count))


def test_every_image_gets_its_own_faces():
    """Image i has i % 4 faces, and each of its faces is as bright as the image."""
    results = list(
        stream(
            (plain_image(value) for value in range(200)),
            detect=lambda image: faces_in_a_row(int(image[0, 0, 0]) % 4),
        )
    )
    assert [len(result.faces) for result in results] == [value % 4 for value in range(200)]
    for value, result in enumerate(results):
        for face in result.faces:
            assert face.probabilities["bright"] == pytest.approx(value / 255, abs=1e-6)


def test_faces_keep_the_order_surest_first():
    (result,) = stream([plain_image(9)], detect=lambda image: faces_in_a_row(5)[::-1])
    assert [face.detection for face in result.faces] == faces_in_a_row(5)


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF", "WEBP"])
def test_each_picture_of_a_film_is_answered_as_itself(tmp_path, format):
    values = range(0, 250, 10)
    first, *others = (Image.fromarray(plain_image(value)) for value in values)
    first.save(tmp_path / "film", format, save_all=True, append_images=others, lossless=True)
    with Image.open(tmp_path / "film") as film:
        results = list(stream(ImageSequence.Iterator(film)))
    bright = [result.faces[0].probabilities["bright"] for result in results]
    np.testing.assert_allclose(bright, np.array(values) / 255, atol=0.01)


def test_pictures_may_be_closed_when_the_next_is_asked_for(tmp_path):
    files = [tmp_path / f"{index}.png" for index in range(12)]
    for file in files:
        Image.fromarray(plain_image(100)).save(file)
    files[3].write_bytes(files[3].read_bytes()[:80])

    def pictures():
        for file in files:
            with Image.open(file) as picture:
                yield picture

    results = list(stream(pictures()))
    assert [result.error is not None for result in results] == [i == 3 for i in range(12)]
    assert isinstance(results[3].error, ImageError)


@pytest.mark.parametrize("width", range(640, 644))
def test_a_square_stays_one_in_whole_pixels(width):
    box = Box((width - 479) / 2, 0, 479, 479).clipped(width, 479)
    assert (box.width, box.height) == (479, 479)


def test_face_reports_label_score_and_clipped_box():
    detection = Detection(Box(-4.4, 30.2, 20.0, 20.0), score=0.5)
    (result,) = stream([plain_image(204)], detect=lambda image: [detection])
    (face,) = result.faces
    assert (result.path, result.width, result.height, result.error) == (None, 50, 40, None)
    assert (face.label, face.score) == ("bright", pytest.approx(0.8, abs=1e-6))
    assert list(face.probabilities) == ["dark", "bright"]
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert face.box == Box(0, 30, 16, 10)
    assert face.detection == detection


def test_faces_of_many_images_are_classified_in_few_calls():
    classify = Brightness()
    results = list(stream((plain_image(value) for value in range(200)), classify=classify))
    assert len(results) == sum(classify.calls) == 200
    assert len(classify.calls) <= 200 / CHUNK_IMAGES + 1


def test_batch_of_faces_is_bounded():
    classify = Brightness()
    sources = (plain_image(0) for _ in range(40))
    list(stream(sources, detect=lambda image: faces_in_a_row(30), classify=classify))
    assert sum(classify.calls) == 1200
    assert max(classify.calls) < CHUNK_FACES + 30


@pytest.mark.parametrize(("chunk", "faces"), [(1, 1), (10, 1), (10, 4), (400, 1)])
def test_the_caller_chooses_how_many_faces_are_classified_at_once(chunk, faces):
    classify = Brightness()
    sources = (plain_image(0) for _ in range(300))
    list(
        stream(
            sources,
            detect=lambda image: faces_in_a_row(faces),
            classify=classify,
            chunk_faces=chunk,
        )
    )
    assert sum(classify.calls) == 300 * faces
    # Half as many images are enough, and the last image may bring several faces.
    assert max(classify.calls) == min(max(1, chunk // 2) * faces, -(-chunk // faces) * faces)


def test_without_a_face_nothing_is_classified():
    classify = Brightness()
    results = list(stream([plain_image(0)] * 3, detect=lambda image: [], classify=classify))
    assert [(result.faces, result.error) for result in results] == [((), None)] * 3
    assert classify.calls == []


def test_no_images_give_no_results():
    assert list(stream([])) == []


@pytest.mark.parametrize("place", [0, 1, 99])
def test_unreadable_image_gives_its_error_and_the_others_are_done(place, tmp_path):
    sources = [plain_image(value) for value in range(100)]
    sources[place] = tmp_path / "missing.jpg"
    results = list(stream(sources))
    assert len(results) == 100
    for index, result in enumerate(results):
        if index == place:
            assert isinstance(result.error, ImageError)
            assert result.path == str(tmp_path / "missing.jpg")
            assert (result.faces, result.width, result.height) == ((), 0, 0)
        else:
            assert result.error is None
            assert result.faces[0].probabilities["bright"] == pytest.approx(index / 255, abs=1e-6)


@pytest.mark.parametrize("bad", [b"junk", None, np.zeros((4, 4, 7)), np.full((4, 4), np.nan)])
def test_every_kind_of_bad_image_costs_only_itself(bad):
    results = list(stream([plain_image(1), bad, plain_image(2)]))
    assert [result.error is None for result in results] == [True, False, True]
    assert [len(result.faces) for result in results] == [1, 0, 1]


def test_detector_that_raises_on_one_image_costs_only_it():
    def detect(image):
        if image[0, 0, 0] == 7:
            raise RuntimeError("seven")
        return faces_in_a_row(1)

    results = list(stream((plain_image(value) for value in range(20)), detect=detect))
    assert [index for index, result in enumerate(results) if result.error] == [7]
    assert isinstance(results[7].error, PluginRuntimeError)
    assert all(result.faces for index, result in enumerate(results) if index != 7)


def test_a_result_with_an_error_keeps_no_picture():
    pictures = []

    def detect(image):
        pictures.append(weakref.ref(image))
        raise ValueError("no detection today")

    results = list(stream([plain_image(0), plain_image(1)], detect=detect))
    assert [type(result.error) for result in results] == [PluginRuntimeError] * 2
    assert [picture() for picture in pictures] == [None] * 2
    assert "in detect" in "".join(traceback.format_exception(results[0].error))


def test_a_crop_that_opencv_can_not_make_costs_only_its_image(monkeypatch):
    def out_of_memory(image):
        if image.max() == 1:
            raise cv2.error("Failed to allocate 17179869184 bytes")
        return image[..., 0]

    monkeypatch.setattr("emonet.pipeline.crops._grey", out_of_memory)
    results = list(stream(plain_image(value) for value in range(3)))
    assert [result.error is None for result in results] == [True, False, True]
    assert isinstance(results[1].error, ImageError)
    assert "Failed to allocate" in str(results[1].error)


# Finite, and it meets the image: but the square to cut out would have 10**18 pixels.
def test_absurdly_large_box_costs_only_its_image():
    def detect(image):
        side = 1e9 if image[0, 0, 0] == 7 else 10
        return [Detection(Box(25 - side / 2, 20 - side / 2, side, side))]

    results = list(stream((plain_image(value) for value in range(20)), detect=detect))
    assert [index for index, result in enumerate(results) if result.error] == [7]
    assert isinstance(results[7].error, EmonetError)


@pytest.mark.parametrize("faces", [0, 1, 3])
def test_endless_images_are_read_only_a_little_ahead(faces):
    read = done = 0

    def endless():
        nonlocal read
        for read in itertools.count(1):
            assert read <= done + 100
            yield plain_image(read % 256)

    results = stream(endless(), detect=lambda image: faces_in_a_row(faces))
    assert read == 0
    for _ in range(300):
        assert len(next(results).faces) == faces
        done += 1


def test_crowded_image_is_not_held_back():
    read = []

    def crowds():
        for index in itertools.count():
            read.append(index)
            yield plain_image(index)

    next(stream(crowds(), detect=lambda image: faces_in_a_row(CHUNK_FACES)))
    assert len(read) <= IMAGES_AHEAD


def test_no_detector_is_used_by_two_threads_at_once_and_several_are_at_work():
    at_work, most, threads = set(), [], set()
    busy = threading.Event()

    def detector():
        own = object()

        def detect(image):
            assert own not in at_work
            at_work.add(own)
            most.append(len(at_work))
            threads.add(threading.current_thread())
            if not busy.is_set() and len(at_work) < min(2, WORKERS):
                busy.wait(10)  # for another worker to come
            busy.set()
            at_work.remove(own)
            return faces_in_a_row(1)

        return GuardedDetector(FixedDetector(detect), "detector fixed")

    results = list(stream([plain_image(9)] * 50, detectors=DetectorPool(detector)))
    assert [len(result.faces) for result in results] == [1] * 50
    assert max(most) == min(2, WORKERS)
    assert threading.current_thread() not in threads


def test_a_stream_that_is_left_early_ends_its_threads():
    results = stream(plain_image(9) for _ in itertools.count())
    next(results)
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("emonet")]


def test_an_error_of_the_images_own_iterator_is_the_callers():
    def broken():
        yield plain_image(1)
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        list(stream(broken()))


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """A small picture without any face."""
    from PIL import Image

    file = tmp_path_factory.mktemp("pictures") / "blank.png"
    Image.new("RGB", (100, 90), "grey").save(file)
    return file


def test_one_image_gives_one_result(tiny_recognizer, astronaut):
    result = tiny_recognizer.predict(astronaut)
    assert (result.path, result.width, result.height) == (str(astronaut), 400, 400)
    (face,) = result.faces
    assert list(face.probabilities) == list(tiny_recognizer.labels)
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert face.score == face.probabilities[face.label] == max(face.probabilities.values())
    # Where her face is in the sample photo.
    assert 120 < face.box.x < 160
    assert 60 < face.box.y < 120


@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: path.read_bytes()])
def test_single_form_is_told_by_the_type(form, tiny_recognizer, blank):
    result = tiny_recognizer.predict(form(blank))
    assert (result.width, result.height) == (100, 90)


def test_photo_without_a_face_gives_no_faces(tiny_recognizer, blank):
    result = tiny_recognizer.predict(blank)
    assert (result.faces, result.error) == ((), None)


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda items: (item for item in items)])
def test_any_iterable_of_images_gives_a_list(kind, tiny_recognizer, blank):
    results = tiny_recognizer.predict(kind([blank, np.zeros((30, 20), np.uint8)]))
    assert [(result.width, result.height) for result in results] == [(100, 90), (20, 30)]


def test_four_dimensional_array_is_many_images(tiny_recognizer):
    results = tiny_recognizer.predict(np.zeros((2, 30, 20, 3), np.uint8))
    assert [(result.width, result.height) for result in results] == [(20, 30)] * 2


def test_four_dimensional_tensor_is_many_images_and_another_is_one(tiny_recognizer):
    results = tiny_recognizer.predict(Tensor(np.zeros((2, 30, 20, 3), np.uint8)))
    assert [(result.width, result.height) for result in results] == [(20, 30)] * 2
    result = tiny_recognizer.predict(Tensor(np.zeros((30, 20, 3), np.uint8)))
    assert (result.width, result.height, result.error) == (20, 30, None)


def test_a_tensor_may_be_filled_again_and_again():
    def camera():
        buffer = plain_image(0)
        for value in range(100):
            buffer[:] = value
            yield Tensor(buffer)

    results = list(stream(camera()))
    assert [round(r.faces[0].probabilities["bright"] * 255) for r in results] == list(range(100))


@pytest.mark.parametrize("use", ["predict", "stream", "predict_proba"])
def test_a_table_is_refused_with_a_hint(use, tiny_recognizer):
    with pytest.raises(ImageError, match=r"A Frame is a table.* list\(table\['path'\]\)"):
        getattr(tiny_recognizer, use)(Frame())


def test_nested_lists_are_told_what_to_pass(tiny_recognizer):
    pixels = [[0, 1], [2, 3]]
    with pytest.raises(ImageError, match=r"got list: pass numpy\.array\(image, 'uint8'\)"):
        tiny_recognizer.predict(pixels)
    with pytest.raises(InputError, match=r"got one list: pass numpy\.array\(image, 'uint8'\)"):
        tiny_recognizer.stream(pixels)


def test_a_bad_tensor_or_table_among_many_costs_only_itself():
    bad = [Frame(), Tensor(np.zeros((4, 4, 7)))]
    results = list(stream(iter([plain_image(1), *bad, Tensor(plain_image(2))])))
    assert [result.error is None for result in results] == [True, False, False, True]
    assert all(isinstance(result.error, ImageError) for result in results[1:3])


def test_faces_in_a_tensor_are_judged_alike(tiny_recognizer):
    faces = make_faces(1).images
    expected = tiny_recognizer.predict_proba(faces)
    np.testing.assert_array_equal(tiny_recognizer.predict_proba(Tensor(faces)), expected)


@pytest.mark.parametrize("nothing", [[], (), iter(())], ids=["list", "tuple", "iterator"])
def test_no_images_give_an_empty_list(nothing, tiny_recognizer):
    assert tiny_recognizer.predict(nothing) == []


@pytest.mark.parametrize("bad", ["nowhere.jpg", b"junk", None, np.zeros((4, 4, 7), np.uint8)])
def test_bad_image_raises_alone_and_is_reported_among_many(bad, tiny_recognizer, blank):
    with pytest.raises(ImageError) as caught:
        tiny_recognizer.predict(bad)
    good, reported = tiny_recognizer.predict([blank, bad])
    assert good.error is None
    assert str(reported.error) == str(caught.value)


def test_array_without_dimensions_is_an_image_error(tiny_recognizer):
    with pytest.raises(ImageError, match=r"got \(\)"):
        tiny_recognizer.predict(np.array(3, np.uint8))


@pytest.mark.parametrize("count", [1, 5, 130])
def test_probabilities_of_faces_sum_to_one(count, tiny_recognizer):
    faces = make_faces(19).images[:count]
    probabilities = tiny_recognizer.predict_proba(faces)
    assert probabilities.shape == (count, len(FER2013))
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_face_is_judged_alike_alone_and_among_others(tiny_recognizer):
    faces = make_faces(19).images
    together = tiny_recognizer.predict_proba(faces)
    for index in (0, 60, 132):
        alone = tiny_recognizer.predict_proba(faces[index : index + 1])
        np.testing.assert_allclose(alone[0], together[index], atol=1e-4)


def test_drawn_faces_are_told_apart(tiny_recognizer):
    """What the other tests of predictions rest on: the network did learn something."""
    unseen = make_faces(10, seed=7)
    predicted = tiny_recognizer.predict_proba(unseen.images).argmax(axis=1)
    assert (predicted == unseen.classes).mean() > 2 / len(FER2013)


@pytest.mark.parametrize(
    "form",
    [
        lambda faces: faces.repeat(2, axis=1).repeat(2, axis=2),
        lambda faces: faces[..., np.newaxis].repeat(3, axis=3),
        lambda faces: faces / 255,
        list,
        iter,
    ],
    ids=["twice the size", "rgb", "float", "list", "iterator"],
)
def test_faces_in_another_form_are_judged_alike(form, tiny_recognizer):
    faces = make_faces(1).images
    expected = tiny_recognizer.predict_proba(faces)
    np.testing.assert_allclose(tiny_recognizer.predict_proba(form(faces)), expected, atol=1e-4)


def test_faces_of_mixed_sizes_and_paths_can_be_judged_together(tiny_recognizer, blank):
    mixed = [blank, np.zeros((10, 90), np.uint8), np.zeros((200, 30, 3), np.uint8)]
    assert tiny_recognizer.predict_proba(mixed).shape == (3, len(FER2013))


@pytest.mark.parametrize(
    "nothing",
    [[], iter(()), np.empty((0, 48, 48), np.uint8), np.empty((0, 96, 96), np.uint8)],
    ids=["list", "iterator", "array", "array of another size"],
)
def test_no_faces_give_no_rows(nothing, tiny_recognizer):
    probabilities = tiny_recognizer.predict_proba(nothing)
    assert (probabilities.shape, probabilities.dtype) == ((0, len(FER2013)), np.float32)


def test_bad_face_among_many_raises(tiny_recognizer, blank):
    with pytest.raises(ImageError, match="nowhere"):
        tiny_recognizer.predict_proba([blank, "nowhere.png"])


@pytest.mark.parametrize(
    "use",
    [
        lambda recognizer: recognizer.predict(np.zeros((9, 9), np.uint8)),
        lambda recognizer: recognizer.predict([]),
        lambda recognizer: recognizer.stream([]),
        lambda recognizer: recognizer.predict_proba(np.zeros((1, 48, 48), np.uint8)),
        lambda recognizer: recognizer.predict_proba([]),
        lambda recognizer: recognizer.evaluate(make_faces(1)),
    ],
    ids=["predict", "predict nothing", "stream", "predict_proba", "no faces", "evaluate"],
)
def test_recognizer_without_weights_says_so(use):
    with pytest.raises(NotFittedError, match="from_pretrained"):
        use(EmotionRecognizer(**TINY))


@pytest.fixture(scope="module")
def whole_image():
    """A recognizer that takes every image for one face."""
    return EmotionRecognizer.from_pretrained("tiny", detector="whole_image")


@pytest.mark.parametrize("ahead", [0, 1, 2, IMAGES_AHEAD + 3, CHUNK_IMAGES + 50])
def test_no_more_images_are_taken_than_allowed(whole_image, ahead):
    taken = []

    def camera():
        for face in make_faces(30).images:
            taken.append(len(taken))
            yield face

    results = 0
    for result in whole_image.stream(camera(), ahead=ahead):
        results += 1
        assert len(result.faces) == 1
        assert len(taken) <= results + ahead
        if ahead == 0:
            assert len(taken) == results
    assert results == len(taken) == 210


def test_a_live_camera_gets_the_same_answers_in_the_same_order(whole_image):
    faces = make_faces(3).images
    live = list(whole_image.stream(iter(faces), ahead=0))
    for one, other in zip(live, whole_image.predict(list(faces)), strict=True):
        assert one.faces[0].box == other.faces[0].box
        assert one.faces[0].score == pytest.approx(other.faces[0].score, abs=1e-5)


def test_as_many_faces_are_classified_together_as_images_may_be_ahead():
    calls = {}
    for ahead in (0, 2, 19, None):
        classify = Brightness()
        images = (plain_image(value) for value in range(200))
        results = list(stream(images, classify=classify, ahead=ahead))
        assert [round(r.faces[0].probabilities["bright"] * 255) for r in results] == [*range(200)]
        calls[ahead] = len(classify.calls)
        assert ahead is None or max(classify.calls) <= 1 + ahead
    assert calls[0] == 200
    assert calls[None] < calls[19] < 200


def test_by_default_images_are_taken_ahead_and_faces_classified_together(whole_image):
    taken = []
    images = (taken.append(0) or face for face in make_faces(30).images)
    next(whole_image.stream(images))
    assert CHUNK_IMAGES <= len(taken) <= CHUNK_IMAGES + IMAGES_AHEAD


@pytest.mark.parametrize("ahead", [-1, 1.5, True, "2"])
def test_a_number_of_images_ahead_is_whole(whole_image, ahead):
    with pytest.raises(ConfigError, match="ahead must be a whole number in 0"):
        whole_image.stream([], ahead=ahead)


#: A PNG file of 81 megapixels that ends early, again and again; prints the peak in MiB.
LARGE_AND_DAMAGED = """
import re, struct, zlib
from pathlib import Path
from emonet import EmotionRecognizer

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
pixels = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))
photo = b"\\x89PNG\\r\\n\\x1a\\n" + pixels
results = list(EmotionRecognizer.from_pretrained("tiny").stream([photo] * 12))
assert all("truncated" in str(result.error) for result in results)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_damaged_images_free_their_memory_at_once():
    done = subprocess.run(
        [sys.executable, "-c", LARGE_AND_DAMAGED], capture_output=True, text=True, check=True
    )
    # One of them takes 540 MiB while it is decoded.
    assert int(done.stdout) < 700

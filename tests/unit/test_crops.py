"""From a detector's boxes to crops that are framed as the training faces are."""

import numpy as np
import pytest
from tests.conftest import FixedDetector, make_faces

from emonet.config import ComponentConfig, Framing, ModelConfig, NetworkConfig
from emonet.errors import ImageError
from emonet.model import Model
from emonet.pipeline.crops import crop_faces, faces_by_size, resampling, whole_face
from emonet.pipeline.detection import detect_faces
from emonet.pipeline.framing import MIN_FOUND, as_scene, measure_framing
from emonet.results import Box, Detection

IMAGE = np.zeros((80, 100, 3), np.uint8)
AS_IT_IS = Framing()


@pytest.fixture(scope="module")
def textured():
    """A grey 120x160 picture, each pixel of its own value, in RGB."""
    grey = np.random.default_rng(0).integers(0, 256, (120, 160), np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def crop(image, box, size, framing=AS_IT_IS, *, framed=False):
    (face,) = crop_faces(image, [Detection(box, framed=framed)], framing, [size])[size]
    return face


def measured(detector, faces):
    """Return the framing that is measured; None if the model stays as it is."""
    config = ModelConfig(
        detector=ComponentConfig(name="fixed"),
        networks=(NetworkConfig(name="net", backbone=ComponentConfig(name="resnet18")),),
    )
    model = Model(config=config)
    framed = measure_framing(model, detector, faces)
    return None if framed is model else framed.config.framing["fixed"]


def test_surest_face_comes_first():
    found = [Detection(Box(0, 0, 9, 9), score) for score in (0.3, -0.5, 0.9)]
    detected = detect_faces(FixedDetector(lambda image: found), IMAGE)
    assert [detection.score for detection in detected] == [0.9, 0.3, -0.5]


def test_equally_sure_faces_keep_the_detectors_order():
    found = [Detection(Box(x, 0, 9, 9)) for x in (5, 1, 3)]
    assert detect_faces(FixedDetector(lambda image: found), IMAGE) == found


def test_unframed_box_is_cut_out_pixel_by_pixel(textured):
    face = crop(textured, Box(20, 30, 40, 40), (40, 40))
    assert face.dtype == np.uint8
    np.testing.assert_array_equal(face, textured[30:70, 20:60, 0])


def test_scale_widens_the_square_about_the_boxs_centre(textured):
    face = crop(textured, Box(40, 40, 40, 40), (60, 60), Framing(scale=1.5))
    np.testing.assert_array_equal(face, textured[30:90, 30:90, 0])


def test_shift_moves_the_square_in_units_of_the_boxs_side(textured):
    framing = Framing(shift_x=0.25, shift_y=-0.5)
    face = crop(textured, Box(40, 40, 40, 40), (40, 40), framing)
    np.testing.assert_array_equal(face, textured[20:60, 50:90, 0])


def test_scale_and_shift_work_together(textured):
    framing = Framing(scale=1.5, shift_x=0.25, shift_y=-0.25)
    face = crop(textured, Box(40, 40, 40, 40), (60, 60), framing)
    np.testing.assert_array_equal(face, textured[20:80, 40:100, 0])


def test_side_of_an_oblong_box_is_the_root_of_its_area(textured):
    # 20x80 has the area of 40x40, about the centre (60, 60).
    face = crop(textured, Box(50, 20, 20, 80), (40, 40))
    np.testing.assert_array_equal(face, textured[40:80, 40:80, 0])


@pytest.mark.parametrize(
    ("x", "y"), [(-15, 40), (135, 40), (60, -15), (60, 95), (-15, -15), (135, 95)]
)
def test_edge_is_repeated_beyond_it(textured, x, y):
    padded = np.pad(textured[:, :, 0], 40, mode="edge")
    face = crop(textured, Box(x, y, 40, 40), (40, 40))
    np.testing.assert_array_equal(face, padded[y + 40 : y + 80, x + 40 : x + 80])


def test_box_larger_than_the_image_shows_all_of_it(textured):
    padded = np.pad(textured[:, :, 0], 200, mode="edge")
    face = crop(textured, Box(-20, -40, 200, 200), (200, 200))
    np.testing.assert_array_equal(face, padded[160:360, 180:380])


@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_shift_off_the_image_keeps_a_pixel_of_it(textured, shift):
    face = crop(textured, Box(60, 40, 40, 40), (40, 40), Framing(shift_x=shift))
    column = textured[40:80, 0 if shift < 0 else -1, 0]
    np.testing.assert_array_equal(face, np.repeat(column[:, np.newaxis], 40, axis=1))


def test_framed_detection_is_cut_out_as_it_is(textured):
    framing = Framing(scale=2.0, shift_x=0.5, shift_y=0.5)
    face = crop(textured, Box(20, 30, 40, 40), (40, 40), framing, framed=True)
    np.testing.assert_array_equal(face, textured[30:70, 20:60, 0])


def test_framing_holds_for_each_detection_by_itself(textured):
    box = Box(40, 40, 40, 40)
    detections = [Detection(box), Detection(box, framed=True)]
    faces = crop_faces(textured, detections, Framing(shift_x=0.5), [(40, 40)])[40, 40]
    np.testing.assert_array_equal(faces[0], textured[40:80, 60:100, 0])
    np.testing.assert_array_equal(faces[1], textured[40:80, 40:80, 0])


@pytest.mark.parametrize("factor", [2, 4])
def test_shrinking_takes_the_mean_of_each_area(textured, factor):
    face = crop(textured, Box(40, 20, 80, 80), (80 // factor, 80 // factor))
    blocks = textured[20:100, 40:120, 0].reshape(80 // factor, factor, 80 // factor, factor)
    np.testing.assert_allclose(face, blocks.mean(axis=(1, 3)), atol=1)


def test_enlarging_interpolates():
    ramp = np.repeat(np.arange(0, 200, 20, dtype=np.uint8)[np.newaxis], 10, axis=0)
    face = crop(np.repeat(ramp[:, :, np.newaxis], 3, axis=2), Box(0, 0, 10, 10), (40, 40))
    steps = np.diff(face[20].astype(int))
    assert steps.min() >= 0
    assert steps.max() <= 6


@pytest.mark.parametrize(
    ("colour", "grey"),
    [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((9, 9, 9), 9)],
    ids=["red", "green", "blue", "grey"],
)
def test_grey_values_weigh_the_colours_as_rec_601(colour, grey):
    image = np.full((20, 20, 3), colour, np.uint8)
    assert set(crop(image, Box(5, 5, 10, 10), (8, 8)).ravel().tolist()) == {grey}


def test_size_is_height_and_width(textured):
    assert crop(textured, Box(20, 30, 40, 40), (30, 20)).shape == (30, 20)
    assert whole_face(textured, (24, 32)).shape == (24, 32)


def test_no_detection_gives_no_crop(textured):
    faces = crop_faces(textured, [], AS_IT_IS, [(48, 48)])[48, 48]
    assert (faces.shape, faces.dtype) == ((0, 48, 48), np.uint8)


def test_every_size_is_cut_from_the_image_itself(textured):
    sizes = [(48, 48), (20, 30)]
    detections = [Detection(Box(20, 30, 40, 40)), Detection(Box(60, 30, 64, 64))]
    by_size = crop_faces(textured, detections, AS_IT_IS, sizes)
    assert list(by_size) == sizes
    for size in sizes:
        alone = crop_faces(textured, detections, AS_IT_IS, [size])[size]
        np.testing.assert_array_equal(by_size[size], alone)


def test_ready_faces_of_the_one_size_are_not_copied():
    faces = make_faces(1).images
    assert faces_by_size(faces, ((48, 48),))[48, 48] is faces


def test_ready_faces_are_brought_to_every_size():
    faces = make_faces(1).images
    by_size = faces_by_size(faces, ((48, 48), (24, 24)))
    np.testing.assert_array_equal(by_size[48, 48], faces)
    blocks = faces.reshape(len(faces), 24, 2, 24, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(by_size[24, 24], blocks, atol=1)


def test_ready_faces_without_pixels_are_refused():
    with pytest.raises(ImageError, match="must have 1 to"):
        faces_by_size(np.empty((2, 0, 48), np.uint8), ((48, 48),))


def test_no_ready_face_is_none_at_every_size():
    by_size = faces_by_size([], ((48, 48), (24, 24)))
    assert {size: faces.shape for size, faces in by_size.items()} == {
        (48, 48): (0, 48, 48), (24, 24): (0, 24, 24)
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_tiny_image_can_be_cropped(shape):
    image = np.full((*shape, 3), 7, np.uint8)
    face = crop(image, Box(0, 0, shape[1], shape[0]), (48, 48), Framing(scale=1.4))
    np.testing.assert_array_equal(face, np.full((48, 48), 7))


# BGR turned round, and pictures mirrored by whoever loaded them, are views of this kind.
@pytest.mark.parametrize(
    "view",
    [lambda a: a[:, :, ::-1], lambda a: a[:, ::-1], lambda a: a[::-1], np.asfortranarray],
    ids=["channels", "columns", "rows", "fortran"],
)
def test_layout_in_memory_makes_no_difference(view):
    image = view(np.random.default_rng(0).integers(0, 256, (60, 70, 3), np.uint8))
    box, framing = Box(-5, 10, 40, 40), Framing(scale=1.3)
    np.testing.assert_array_equal(
        crop(image, box, (48, 48), framing),
        crop(np.ascontiguousarray(image), box, (48, 48), framing),
    )


def test_image_is_not_changed(textured):
    before = textured.copy()
    crop(textured, Box(-10, -10, 60, 60), (48, 48), Framing(scale=1.5))
    np.testing.assert_array_equal(textured, before)


@pytest.fixture
def squares(monkeypatch):
    """The squares of the faces in the scenes that measure_framing shows to a detector."""
    shown = []

    def recorded(face, side, border):
        top, _, left, _ = border
        shown.append(Box(left, top, side, side))
        return as_scene(face, side, border)

    monkeypatch.setattr("emonet.pipeline.framing.as_scene", recorded)
    return shown


def within(square, scale, shift_x=0.0, shift_y=0.0):
    """Return the box of a detector with this framing around a square."""
    side = square.width / scale
    x = square.x + square.width / 2 - shift_x * side
    y = square.y + square.height / 2 - shift_y * side
    return Box(x - side / 2, y - side / 2, side, side)


def test_framing_of_a_known_detector_is_measured(squares):
    detector = FixedDetector(lambda image: [Detection(within(squares[-1], 1.2, -0.125, 0.0625))])
    framing = measured(detector, make_faces(2).images)
    assert framing == Framing(scale=1.2, shift_x=-0.125, shift_y=round(0.0625, 3))


def test_faces_have_many_sizes_and_places(squares):
    detector = FixedDetector(lambda image: [Detection(squares[-1])])
    measured(detector, make_faces(10).images)
    sides = [square.width for square in squares]
    assert min(sides) < 140
    assert max(sides) > 240
    assert len(set(sides)) > 40
    assert len({square.x / square.width for square in squares}) > 40


def test_steps_of_a_detector_do_not_matter(squares):
    """Boxes that come in steps of a fifth, as dlib's, give the framing between the steps."""

    def detect(image):
        square = squares[-1]
        side = square.width / 1.15
        step = 1.2 ** round(np.log(side) / np.log(1.2))
        x, y = square.x + square.width / 2, square.y + square.height / 2
        return [Detection(Box(x - step / 2, y - step / 2, step, step))]

    framing = measured(FixedDetector(detect), make_faces(20).images)
    assert framing.scale == pytest.approx(1.15, abs=0.02)


def test_boxes_out_of_all_proportion_are_no_measure(caplog, squares):
    detector = FixedDetector(lambda image: [Detection(within(squares[-1], 12.8))])
    assert measured(detector, make_faces(2).images) is None
    assert "framing.scale must be 0.05 to 10, got 12.8" in caplog.text.replace(":", "")


def test_framing_is_the_median_of_the_faces(squares):
    scales = iter([1.92, 1.2, 1.2, 1.2, 0.64] * 3)
    detector = FixedDetector(lambda image: [Detection(within(squares[-1], next(scales)))])
    assert measured(detector, make_faces(2).images[:10]) == Framing(scale=1.2)


def test_measured_framing_crops_a_face_as_the_training_set_does(squares):
    """What measure_framing learns and what crop_faces does with it are each other's inverse."""
    seen = []

    def detect(image):
        seen.append((image, within(squares[-1], 1.3, 0.1, -0.2)))
        return [Detection(seen[-1][1])]

    faces = make_faces(1).images
    framing = measured(FixedDetector(detect), faces)
    for (image, box), face in zip(seen, faces, strict=True):
        again = crop(image, box, (48, 48), framing)
        assert np.abs(again.astype(int) - face).mean() < 5


def test_faces_with_another_number_of_detections_are_left_out(squares):
    answers = iter([[], [4.8], [4.8, 3.2], [1.2], [1.2], [1.2], [1.2], [1.2], []])

    def detect(image):
        return [Detection(within(squares[-1], scale)) for scale in next(answers)]

    framing = measured(FixedDetector(detect), make_faces(2).images[:9])
    assert framing == Framing(scale=1.2)


@pytest.mark.parametrize("found", [0, MIN_FOUND - 1])
def test_too_few_found_faces_tell_nothing(found):
    answers = iter([[Detection(Box(80, 80, 160, 160))]] * found + [[]] * 20)
    detector = FixedDetector(lambda image: next(answers))
    assert measured(detector, make_faces(2).images) is None


def test_no_faces_tell_nothing():
    detector = FixedDetector(lambda image: [Detection(Box(80, 80, 160, 160))])
    assert measured(detector, np.empty((0, 48, 48), np.uint8)) is None


def test_large_training_set_is_sampled_from_start_to_end():
    looked_at = []

    def detect(image):
        looked_at.append(int(image[image.shape[0] // 2, image.shape[1] // 2, 0]))
        return [Detection(Box(80, 80, 160, 160))]

    faces = np.repeat(np.arange(250, dtype=np.uint8), 8)[:, np.newaxis, np.newaxis]
    measured(FixedDetector(detect), np.tile(faces, (1, 8, 8)))
    assert 100 <= len(looked_at) <= 300
    assert min(looked_at) < 5
    assert max(looked_at) >= 245


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_one_image_is_not_taken_for_many_faces(dtype):
    with pytest.raises(ImageError, match=r"shape \(48, 48, 3\): put a single image into a list"):
        faces_by_size(np.zeros((48, 48, 3), dtype), ((48, 48),))


@pytest.mark.parametrize("old", [(64, 40), (40, 64), (96, 96), (24, 24)])
def test_matrices_resize_as_faces_are_resized(old):
    faces = np.random.default_rng(0).integers(0, 256, (3, *old)).astype(np.uint8)
    rows, columns = resampling(old, (48, 48))
    resized = rows @ faces.astype(np.float32) @ columns.T
    np.testing.assert_allclose(resized, faces_by_size(faces, ((48, 48),))[48, 48], atol=1.5)

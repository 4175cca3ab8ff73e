"""Random changes to faces stay within their bounds and follow from their seed."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_faces

from emonet import create_feature_extractor
from emonet.data.augmentation import Augmentation, augment_appearance, augment_geometry

EVERYTHING = Augmentation(
    rotation=15,
    shear=10,
    zoom=0.2,
    shift=0.1,
    horizontal_flip=True,
    contrast=0.5,
    brightness=80,
    exposure=1,
    jpeg_compression=0.5,
    random_erasing=0.5,
)


@pytest.fixture(scope="module")
def faces():
    return make_faces(8).images


def augment(faces, settings, random):
    """Change both, as training does; it may mix between the two."""
    moved, mirrored = augment_geometry(faces, settings, random)
    spoilt = moved.astype(np.float32)
    augment_appearance(spoilt, settings, random)
    return spoilt, mirrored


def changed(faces, seed=0, **settings):
    return augment(faces, Augmentation(**settings), np.random.default_rng(seed))


def dots(count, *, x, y, side=49):
    """Faces that are dark but for a small blurred dot at this distance from the centre."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    dot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4)
    return np.repeat(dot[np.newaxis].astype(np.uint8), count, axis=0)


def centroids(faces):
    """Where the light of each face lies, (n, 2) x, y from the centre."""
    rows, columns = np.mgrid[: faces.shape[1], : faces.shape[2]] - faces.shape[1] // 2
    light = faces.sum(axis=(1, 2))
    return np.stack([(faces * axis).sum(axis=(1, 2)) / light for axis in (columns, rows)], axis=1)


def test_faces_given_stay_as_they_are(faces):
    before = faces.copy()
    augment(faces, EVERYTHING, np.random.default_rng(0))
    np.testing.assert_array_equal(faces, before)


def test_equal_generators_give_equal_faces(faces):
    first, second = (augment(faces, EVERYTHING, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_generator_that_went_on_gives_other_faces(faces):
    random = np.random.default_rng(3)
    first, second = (augment(faces, EVERYTHING, random)[0] for _ in range(2))
    assert (first != second).any(axis=(1, 2)).all()


def test_nothing_is_changed_by_default(faces):
    same, mirrored = changed(faces)
    np.testing.assert_array_equal(same, faces)
    assert same.dtype == np.float32
    assert mirrored.dtype == np.bool_
    assert not mirrored.any()


@pytest.mark.parametrize("shape", [(48, 48), (40, 56), (49, 49)])
def test_exactly_the_faces_reported_as_mirrored_are(shape):
    faces = np.random.default_rng(1).integers(0, 256, (64, *shape), np.uint8)
    flipped, mirrored = changed(faces, horizontal_flip=True)
    assert 16 < mirrored.sum() < 48
    np.testing.assert_array_equal(flipped[mirrored], faces[mirrored][:, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored], faces[~mirrored])


def test_rotation_stays_within_its_bound():
    x, y = centroids(changed(dots(300, x=15, y=0), rotation=10)[0]).T
    angles = np.rad2deg(np.arctan2(y, x))
    assert np.abs(angles).max() < 10.5
    assert angles.min() < -8
    assert angles.max() > 8
    np.testing.assert_allclose(np.hypot(x, y), 15, atol=0.5)


def test_shift_stays_within_its_bound_in_both_directions():
    found = centroids(changed(dots(300, x=0, y=0), shift=0.1)[0])
    assert np.abs(found).max() < 4.9 + 0.2
    assert (found.min(axis=0) < -4).all()
    assert (found.max(axis=0) > 4).all()
    assert np.abs(np.corrcoef(found.T)[0, 1]) < 0.2


def test_zoom_stays_within_its_bound():
    x, y = centroids(changed(dots(300, x=15, y=0), zoom=0.2)[0]).T
    assert 0.8 * 15 - 0.2 < x.min() < 0.85 * 15
    assert 1.15 * 15 < x.max() < 1.2 * 15 + 0.2
    np.testing.assert_allclose(y, 0, atol=0.2)


def test_shear_moves_rows_sideways_within_its_bound():
    x, y = centroids(changed(dots(300, x=0, y=15), shear=10)[0]).T
    angles = np.rad2deg(np.arctan2(x, y))
    assert np.abs(angles).max() < 10.5
    assert angles.min() < -8
    assert angles.max() > 8
    np.testing.assert_allclose(y, 15, atol=0.3)


@pytest.mark.parametrize("setting", [{"rotation": 30}, {"shear": 20}, {"zoom": 0.3}])
def test_centre_stays_where_it_is(setting):
    found = centroids(changed(dots(50, x=0, y=0), **setting)[0])
    np.testing.assert_allclose(found, 0, atol=0.1)


def test_brightness_moves_all_grey_values_of_a_face_alike():
    faces = np.full((300, 8, 8), 128, np.uint8)
    brighter, _ = changed(faces, brightness=40)
    offsets = brighter[:, 0, 0] - 128
    assert (brighter == brighter[:, :1, :1]).all()
    assert offsets.min() < -35
    assert offsets.max() > 35
    assert np.abs(offsets).max() <= 40


def test_contrast_stretches_about_the_faces_own_mean():
    faces = np.full((300, 8, 8), 100, np.uint8)
    faces[:, :4] = 140
    stretched, _ = changed(faces, contrast=0.25)
    np.testing.assert_allclose(stretched.mean(axis=(1, 2)), 120, rtol=1e-5)
    spans = (stretched[:, 0, 0] - stretched[:, 7, 0]) / 40
    assert 0.75 <= spans.min() < 0.8
    assert 1.2 < spans.max() <= 1.25 + 1e-6


def test_exposure_multiplies_the_light_by_factors_within_its_bound():
    faces = np.full((3000, 8, 8), 50, np.uint8)
    faces[:, :4] = 10
    exposed, _ = changed(faces, exposure=1)
    factors = exposed[:, 7, 0] / 50
    np.testing.assert_allclose(exposed, faces * factors[:, np.newaxis, np.newaxis], rtol=1e-5)
    assert 0.5 <= factors.min() < 0.52
    assert 1.92 < factors.max() <= 2
    # As many stops up as down.
    assert 0.4 < (factors < 1).mean() < 0.6


def test_exposure_loses_what_gets_too_bright():
    faces = np.full((300, 8, 8), 100, np.uint8)
    faces[:, :4] = 200
    exposed, _ = changed(faces, exposure=1)
    factors = exposed[:, 7, 0] / 100
    np.testing.assert_allclose(exposed[:, 0, 0], np.minimum(200 * factors, 255), rtol=1e-5)
    assert (exposed[:, 0, 0] == 255).mean() > 0.2


def test_contrast_is_about_the_mean_of_the_exposed_face():
    faces = np.full((300, 8, 8), 30, np.uint8)
    faces[:, :4] = 50
    settings = {"exposure": 1, "contrast": 0.25}
    (exposed, _), (both, _) = changed(faces, exposure=1), changed(faces, **settings)
    means = both.mean(axis=(1, 2))
    np.testing.assert_allclose(means, exposed.mean(axis=(1, 2)), rtol=1e-5)
    spans = (both[:, 0, 0] - both[:, 7, 0]) / (means / 2)
    assert 0.75 - 1e-5 <= spans.min() < 0.8
    assert 1.2 < spans.max() <= 1.25 + 1e-5


def jpeg(face, quality):
    """A face as Pillow stores it as JPEG and reads it back."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).astype(np.float32)


@pytest.mark.parametrize(("probability", "least", "most"), [(1.0, 1, 1), (0.25, 0.2, 0.3)])
def test_faces_are_compressed_with_the_probability_given(probability, least, most):
    faces = np.random.default_rng(1).integers(0, 256, (1000, 24, 24), np.uint8)
    result, _ = changed(faces, jpeg_compression=probability)
    assert result.dtype == np.float32
    assert least <= (result != faces).any(axis=(1, 2)).mean() <= most


def test_a_compressed_face_is_a_jpeg_of_quality_20_to_60(faces):
    result, _ = changed(faces, jpeg_compression=1.0)
    found = []
    for face, compressed in zip(faces, result, strict=True):
        # OpenCV and Pillow may be built with libraries that round otherwise.
        errors = [np.abs(jpeg(face, quality) - compressed).mean() for quality in range(10, 81)]
        assert min(errors) < 0.2
        found.append(10 + int(np.argmin(errors)))
    assert 19 <= min(found) < 30
    assert 50 < max(found) <= 61


def test_grey_values_between_whole_ones_are_rounded_before_compression():
    faces = np.full((200, 8, 8), 128, np.uint8)
    (lit, _), (both, _) = (changed(faces, brightness=40, jpeg_compression=p) for p in (0, 1))
    # A face of one grey value is its mean, which JPEG keeps to within its steps.
    assert (both == both.round()).all()
    assert np.abs(both - lit).max() < 4


@pytest.mark.parametrize("settings", [{"exposure": 2}, {"jpeg_compression": 0.5}], ids=str)
def test_light_and_compression_follow_from_the_seed(faces, settings):
    first, again, other = (changed(faces, seed, **settings)[0] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_exposure_and_compression_of_0_draw_nothing(faces):
    """Every other draw is where it was before the two came, so old runs can be repeated."""
    result, _ = changed(faces, 11, contrast=0.5, brightness=80)
    both, _ = changed(faces, 11, contrast=0.5, brightness=80, random_erasing=0.5)
    random, count = np.random.default_rng(11), (len(faces), 1, 1)
    for _ in ("horizontal_flip", "rotation", "shear", "zoom", "shift in x", "shift in y"):
        random.random(count)
    gain = (1 + random.uniform(-0.5, 0.5, count)).astype(np.float32)
    offset = random.uniform(-80, 80, count).astype(np.float32)
    before = faces.astype(np.float32)
    mean = before.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(result, np.clip((before - mean) * gain + mean + offset, 0, 255))
    erased = random.random(len(faces)) < 0.5
    np.testing.assert_array_equal((both != result).any(axis=(1, 2)), erased)


def test_grey_values_stay_0_to_255():
    faces = np.random.default_rng(0).integers(0, 256, (100, 48, 48), np.uint8)
    light = {"contrast": 0.9, "brightness": 250, "exposure": 4}
    result, _ = changed(
        faces, **light, jpeg_compression=0.5, random_erasing=1.0, rotation=90, zoom=0.5
    )
    assert result.dtype == np.float32
    assert result.min() == 0
    assert result.max() == 255


#: Of arrays that were computed from a Watched one.
TYPES: set[np.dtype] = set()


class Watched(np.ndarray):
    """Notes the type of every array that NumPy computes from it."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out is not None:
            options["out"] = tuple(np.asarray(array) for array in out)
        result = getattr(ufunc, method)(*map(np.asarray, inputs), **options)
        TYPES.add(result.dtype)
        return out[0] if out is not None else result.view(Watched)


def test_faces_are_changed_in_float32(faces):
    changed = faces.astype(np.float32).view(Watched)
    TYPES.clear()
    augment_appearance(changed, EVERYTHING, np.random.default_rng(0))
    assert {np.dtype(np.float32)} == TYPES
    assert changed.dtype == np.float32
    assert (np.asarray(changed) != faces).any()
    assert changed.min() >= 0
    assert changed.max() <= 255


@pytest.mark.parametrize(("probability", "least", "most"), [(1.0, 1, 1), (0.25, 0.2, 0.3)])
def test_faces_are_erased_with_the_probability_given(probability, least, most):
    result, _ = changed(np.full((1000, 24, 24), 128, np.uint8), random_erasing=probability)
    assert least <= (result != 128).any(axis=(1, 2)).mean() <= most


def test_one_rectangle_of_2_to_20_percent_is_erased():
    result, _ = changed(np.full((300, 48, 48), 128, np.uint8), random_erasing=1.0)
    sizes = []
    for erased in result != 128:
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert erased.sum() == np.prod(sides)
        sizes.append(erased.mean())
    # Sides are rounded to whole pixels.
    assert 0.015 < min(sizes) < 0.04
    assert 0.18 < max(sizes) < 0.215


def test_no_faces_give_no_faces():
    result, mirrored = augment(
        np.empty((0, 48, 48), np.uint8), EVERYTHING, np.random.default_rng(0)
    )
    assert (result.shape, mirrored.shape) == ((0, 48, 48), (0,))


# np.moveaxis of MATLAB's (height, width, n), for one, is such a view.
@pytest.mark.parametrize(
    "view", [lambda a: a.transpose(0, 2, 1), lambda a: a[:, :, ::-1], lambda a: a[:, ::2, ::2]]
)
def test_layout_in_memory_makes_no_difference(view, faces):
    expected, _ = augment(np.ascontiguousarray(view(faces)), EVERYTHING, np.random.default_rng(0))
    result, _ = augment(view(faces), EVERYTHING, np.random.default_rng(0))
    np.testing.assert_array_equal(result, expected)


def batches(count=50, *, features=(), targets=None, epoch=1, teacher_targets=None, **settings):
    """Batches of plain faces, face i of grey value i, whose targets and features say i, too."""
    from emonet.training.batches import Examples, TrainingBatches

    values = np.arange(count)
    faces = np.repeat(values.astype(np.uint8), 64).reshape(count, 8, 8)
    share = (values / count).astype(np.float32)
    return TrainingBatches(
        Examples(
            faces=faces,
            targets=np.stack([share, 1 - share], axis=1) if targets is None else targets,
            features=features,
            mirrored_features=features,
            teacher_targets=teacher_targets,
        ),
        **{
            "batch_size": 8,
            "augmentation": Augmentation(),
            "mixup": 0.0,
            "seed": 0,
            "epoch": epoch,
            **settings,
        },
    )


def order(training_batches):
    faces = [training_batches[index][0][0][:, 0, 0] for index in range(len(training_batches))]
    return np.concatenate(faces).astype(int).tolist()


def equal(first, second):
    """Whether two epochs bring the same inputs and targets."""
    return all(
        np.array_equal(left, right)
        for index in range(len(first))
        for left, right in zip(
            [*first[index][0], first[index][1]], [*second[index][0], second[index][1]], strict=True
        )
    )


def test_same_seed_and_epoch_give_the_same_batches():
    settings = {"augmentation": EVERYTHING, "mixup": 0.2}
    assert equal(batches(**settings), batches(**settings))
    assert not equal(batches(**settings), batches(**settings, epoch=2))
    assert not equal(batches(**settings), batches(**settings, seed=1))


def test_batch_does_not_depend_on_which_were_taken_before():
    settings = {"augmentation": EVERYTHING, "mixup": 0.2}
    forwards, backwards = batches(**settings), batches(**settings)
    for index in reversed(range(len(backwards))):
        backwards[index]
    assert equal(forwards, backwards)


@pytest.mark.parametrize("other", [{"epoch": 2}, {"seed": 1}], ids=str)
def test_other_epoch_or_seed_gives_another_order(other):
    assert order(batches()) != order(batches(**other))


# A set smaller than a batch is one batch of an even number of faces, see TrainingBatches.
@pytest.mark.parametrize(
    ("count", "size", "expected", "seen"),
    [(48, 8, 6, 48), (50, 8, 6, 48), (6, 8, 1, 6), (5, 8, 1, 4)],
)
def test_every_face_comes_at_most_once_in_an_epoch(count, size, expected, seen):
    training_batches = batches(count, batch_size=size)
    faces = order(training_batches)
    assert len(training_batches) == expected
    assert len(faces) == len(set(faces)) == seen


def test_face_left_out_of_one_epoch_comes_in_another():
    seen = {face for epoch in range(10) for face in order(batches(50, epoch=epoch))}
    assert seen == set(range(50))


def test_targets_and_features_follow_their_faces():
    feature = np.arange(50, dtype=np.float32)[:, np.newaxis]
    for (faces, vectors), targets in batches(features=[feature]):
        np.testing.assert_array_equal(vectors[:, 0], faces[:, 0, 0])
        np.testing.assert_allclose(targets[:, 0] * 50, faces[:, 0, 0], rtol=1e-5)


def test_label_smoothing_takes_its_share_for_all_classes():
    from emonet.training.batches import smoothed

    labels = np.eye(5, dtype=np.float32)[np.arange(50) % 5]
    for _, targets in batches(targets=smoothed(labels, 0.1)):
        assert targets.dtype == np.float32
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(targets.max(axis=1), 0.9 + 0.1 / 5, rtol=1e-6)
        np.testing.assert_allclose(targets.min(axis=1), 0.1 / 5, rtol=1e-6)


def test_mixup_mixes_faces_features_and_targets_alike():
    feature = np.arange(50, dtype=np.float32)[:, np.newaxis]
    mixed = 0
    for (faces, vectors), targets in batches(features=[feature], mixup=1.0):
        np.testing.assert_allclose(vectors[:, 0], faces[:, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(targets[:, 0] * 50, faces[:, 0, 0], rtol=1e-4)
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
        assert faces.dtype == vectors.dtype == targets.dtype == np.float32
        mixed += (faces[:, 0, 0] % 1 != 0).sum()
    assert mixed > 24


def test_teacher_sees_faces_moved_and_mixed_but_not_spoilt():
    seen = []

    def teacher(faces, targets):
        assert faces.dtype == np.uint8
        np.testing.assert_allclose(targets[:, 0] * 50, faces[:, 0, 0], atol=0.51)
        seen.append(faces)
        return np.full_like(targets, 0.5)

    dark = Augmentation(horizontal_flip=True, brightness=100, random_erasing=1)
    for index, ((faces,), targets) in enumerate(
        batches(teacher_targets=teacher, mixup=1.0, augmentation=dark)
    ):
        np.testing.assert_array_equal(targets, 0.5)
        assert (np.abs(faces - seen[index]).max(axis=(1, 2)) > 1).all()
    assert len(seen) == 6
    # Without mixing, and with nothing to spoil, both see the same.
    seen.clear()
    for index, ((faces,), _) in enumerate(batches(teacher_targets=teacher)):
        np.testing.assert_array_equal(faces, seen[index])


def test_smoothed_and_mixed_targets_still_sum_to_one():
    from emonet.training.batches import smoothed

    targets = smoothed(np.eye(5, dtype=np.float32)[np.arange(50) % 5], 0.2)
    for _, mixed in batches(targets=targets, mixup=0.3):
        np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-6)
        assert (mixed >= 0.04 - 1e-6).all()


def test_mirrored_faces_come_with_the_features_of_the_mirrored_face(faces):
    from emonet.training.batches import Examples, TrainingBatches

    hog = create_feature_extractor("bovw", landmarks=False)
    training_batches = TrainingBatches(
        Examples(
            faces=faces,
            targets=np.full((len(faces), 2), 0.5, np.float32),
            features=[hog.transform(faces)],
            mirrored_features=[hog.transform(np.ascontiguousarray(faces[:, :, ::-1]))],
        ),
        batch_size=len(faces),
        augmentation=Augmentation(horizontal_flip=True),
        mixup=0.0,
        seed=0,
        epoch=1,
    )
    ((batch, vectors), _) = training_batches[0]
    np.testing.assert_array_equal(vectors, hog.transform(batch.astype(np.uint8)))
    originals = {face.tobytes() for face in faces}
    kept = [face.tobytes() in originals for face in batch.astype(np.uint8)]
    assert 10 < sum(kept) < len(faces) - 10

"""BOVW gives the seed paper's features: dlib's landmarks, then scikit-image's HOG by windows."""

import hashlib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from emonet import create_feature_extractor
from emonet.errors import (
    ConfigError,
    EmonetError,
    MissingDependencyError,
    ModelNotFoundError,
    WeightsError,
)
from emonet.testing import feature_extractor_checks
from emonet_bovw.landmarks import VARIABLE, find_model

BLOCK_NORMS = ("L1", "L1-sqrt", "L2", "L2-Hys")


@pytest.fixture(autouse=True)
def _no_model_of_whoever_runs_the_tests(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def hog(block_norm="L1"):
    return create_feature_extractor("bovw", landmarks=False, block_norm=block_norm)


@pytest.fixture(scope="module")
def both():
    """Landmarks and HOG; the predictor's 100 MB are read once."""
    return create_feature_extractor("bovw")


@pytest.fixture(scope="module")
def faces(astronaut):
    """Random, flat, graded and real faces, 17 of them."""
    import cv2

    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:48, 0:48]
    drawn = [
        *random.integers(0, 256, (4, 48, 48)),
        *random.integers(100, 104, (2, 48, 48)),
        np.zeros((48, 48)),
        np.full((48, 48), 255),
        rows * 5,
        columns * 5,
        (rows + columns) * 2,
        255 * ((rows // 6 + columns // 6) % 2),
    ]
    photo = cv2.imread(str(astronaut), cv2.IMREAD_GRAYSCALE)
    for top, left, side in [
        (60, 125, 125),
        (80, 140, 90),
        (50, 110, 150),
        (0, 0, 400),
        (200, 9, 96),
    ]:
        square = photo[top : top + side, left : left + side]
        drawn.append(cv2.resize(square, (48, 48), interpolation=cv2.INTER_AREA))
    return np.stack(drawn).astype(np.uint8)


def golden_face():
    i, j = np.mgrid[0:48, 0:48]
    return ((i * i * 3 + j * j * 5 + i * j * 7) % 256).astype(np.uint8)[np.newaxis]


def window_by_window(face, block_norm):
    """The definition: scikit-image's hog on windows of 24 pixels, 6 apart, cut at the border."""
    from skimage.feature import hog as skimage_hog

    values = []
    for top in range(0, 48, 6):
        for left in range(0, 48, 6):
            window = face[top : top + 24, left : left + 24]
            if min(window.shape) >= 8:
                values.append(
                    skimage_hog(
                        window,
                        orientations=8,
                        pixels_per_cell=(8, 8),
                        cells_per_block=(1, 1),
                        block_norm=block_norm,
                    )
                )
    return np.concatenate(values)


@pytest.mark.parametrize(
    ("block_norm", "total", "norm", "first"),
    [
        ("L1", 323.999973, 7.973352,
         [0.064545, 0.449268, 0.340241, 0.009171, 0.040461, 0.056358, 0.039955, 0]),
        ("L2-Hys", 826.493945, 18.0,
         [0.335913, 0.596355, 0.596355, 0.047728, 0.210572, 0.293304, 0.20794, 0]),
    ],
)  # fmt: skip
def test_hog_values_are_those_written_down(block_norm, total, norm, first):
    (values,) = hog(block_norm).transform(golden_face()).astype(np.float64)
    assert values.shape == (2592,)
    assert values.sum() == pytest.approx(total, abs=1e-3)
    assert np.linalg.norm(values) == pytest.approx(norm, abs=1e-5)
    np.testing.assert_allclose(values[:8], first, atol=1e-6)


def test_last_hog_values_are_those_written_down():
    last = [0.303834, 0, 0, 0.091912, 0.124548, 0.131823, 0.133863, 0.21402]
    np.testing.assert_allclose(hog().transform(golden_face())[0, -8:], last, atol=1e-6)


@pytest.mark.parametrize("block_norm", BLOCK_NORMS)
def test_hog_is_scikit_images_window_by_window(block_norm, faces):
    values = hog(block_norm).transform(faces)
    assert (values.shape, values.dtype) == ((len(faces), 2592), np.float32)
    expected = np.stack([window_by_window(face, block_norm) for face in faces])
    np.testing.assert_allclose(values, expected, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 16, 17])
def test_face_has_the_same_features_in_a_batch_of_any_size(count, faces, both):
    together = both.transform(faces[:count])
    assert together.shape == (count, both.num_features)
    assert together.dtype == np.float32
    for index in range(0, count, 5):
        alone = both.transform(faces[index : index + 1])
        np.testing.assert_allclose(together[index], alone[0], atol=1e-7)


def test_all_of_it_is_136_coordinates_and_then_2592_hog_values(both, faces):
    features = both.transform(faces)
    assert both.num_features == features.shape[1] == 2728
    np.testing.assert_array_equal(features[:, 136:], hog().transform(faces))


def test_coordinates_are_dlibs_own_for_the_whole_face(both, faces):
    import dlib

    predictor = dlib.shape_predictor(str(find_model()))
    whole = dlib.rectangle(0, 0, 47, 47)
    for face, features in zip(faces, both.transform(faces), strict=True):
        points = [(part.x, part.y) for part in predictor(face, whole).parts()]
        assert features[:136].tolist() == np.ravel(points).tolist()


def test_landmarks_of_a_real_face_are_where_its_parts_are(both, faces):
    """The astronaut's brows are above her eyes, those above her mouth, left is left."""
    points = both.transform(faces[12:13])[0, :136].reshape(68, 2)
    brows, eyes, mouth = points[17:27], points[36:48], points[48:68]
    assert brows[:, 1].mean() < eyes[:, 1].mean() < mouth[:, 1].mean()
    assert points[36:42, 0].mean() < points[42:48, 0].mean()


def test_hog_alone_never_looks_for_the_landmarks(monkeypatch):
    monkeypatch.setenv(VARIABLE, "/nowhere/at/all")
    assert hog().num_features == 2592


@pytest.mark.parametrize("values", [np.zeros, np.ones], ids=["black", "white"])
def test_flat_face_has_no_gradients_and_finite_values(values):
    flat = (values((1, 48, 48)) * 255).astype(np.uint8)
    for block_norm in BLOCK_NORMS:
        assert not hog(block_norm).transform(flat).any()


@pytest.mark.parametrize("size", [(96, 96), (24, 24), (60, 40)])
def test_faces_of_another_size_are_resized(size):
    import cv2

    faces = np.random.default_rng(0).integers(0, 256, (3, *size), np.uint8)
    resized = np.stack([cv2.resize(face, (48, 48), interpolation=cv2.INTER_AREA) for face in faces])
    np.testing.assert_array_equal(hog().transform(faces), hog().transform(resized))


@pytest.mark.parametrize("check", feature_extractor_checks("bovw"), ids=str)
def test_bovw_keeps_the_contract(check):
    check()


def test_no_faces_of_another_size_give_no_features():
    assert hog().transform(np.empty((0, 96, 96), np.uint8)).shape == (0, 2592)


def test_hog_needs_no_state():
    assert dict(hog().get_state()) == {}
    hog().set_state({})


def test_the_state_tells_the_landmark_model(both, monkeypatch, tmp_path):
    (digest,) = both.get_state().values()
    assert bytes(digest).hex() == hashlib.sha256(find_model().read_bytes()).hexdigest()
    both.set_state({})  # of models that were saved before it was noted
    other = tmp_path / "other.dat"
    other.write_bytes(find_model().read_bytes() + b"another")
    monkeypatch.setenv(VARIABLE, str(other))
    with pytest.raises(WeightsError, match=rf"model than {other}.*expected: {digest[0]:02x}"):
        create_feature_extractor("bovw").set_state(both.get_state())
    # A number is no digest, however many bytes it may ask for.
    with pytest.raises(WeightsError, match="another landmark model"):
        both.set_state({"landmark_model_sha256": np.array(2**60)})


def raise_not_found(name):
    raise PackageNotFoundError(name)


@pytest.mark.parametrize(
    "files",
    [raise_not_found, lambda name: None, lambda name: []],
    ids=["not installed", "without a list of files", "without the file"],
)
def test_missing_landmark_model_names_the_extra(files, monkeypatch):
    monkeypatch.setattr("emonet_bovw.landmarks.files", files)
    with pytest.raises(MissingDependencyError, match=r"emonet\[bovw\].*landmarks=False") as caught:
        create_feature_extractor("bovw")
    assert isinstance(caught.value, ImportError)


def test_landmarks_alone_come_from_the_file_that_the_variable_names(monkeypatch, faces, both):
    monkeypatch.setenv(VARIABLE, str(find_model()))
    monkeypatch.setattr("emonet_bovw.landmarks.files", raise_not_found)
    alone = create_feature_extractor("bovw", hog=False)
    assert alone.num_features == 136
    np.testing.assert_array_equal(alone.transform(faces[:2]), both.transform(faces[:2])[:, :136])


@pytest.mark.parametrize("value", ["/nowhere/at/all.dat", "."], ids=["missing", "folder"])
def test_variable_that_names_no_file_is_an_error(value, monkeypatch):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ModelNotFoundError, match=f"{VARIABLE} is not the path of a file: {value}"):
        create_feature_extractor("bovw")


def test_file_that_is_no_predictor_is_a_weights_error(monkeypatch, tmp_path):
    for name, content in {"junk.dat": b"no predictor", "empty.dat": b""}.items():
        (tmp_path / name).write_bytes(content)
        monkeypatch.setenv(VARIABLE, str(tmp_path / name))
        with pytest.raises(WeightsError, match=f"{name} is not a shape predictor"):
            create_feature_extractor("bovw")


def test_truncated_predictor_is_a_weights_error(monkeypatch, tmp_path):
    with find_model().open("rb") as file:
        (tmp_path / "half.dat").write_bytes(file.read(1_000_000))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "half.dat"))
    with pytest.raises(WeightsError, match=r"half\.dat is not a shape predictor"):
        create_feature_extractor("bovw")


def test_predictor_of_five_landmarks_is_a_weights_error(monkeypatch):
    five = find_model().with_name("shape_predictor_5_face_landmarks.dat")
    monkeypatch.setenv(VARIABLE, str(five))
    with pytest.raises(WeightsError, match="has 5 landmarks, expected 68"):
        create_feature_extractor("bovw")


def test_both_parts_off_is_a_config_error():
    with pytest.raises(ConfigError, match="set one of them to True"):
        create_feature_extractor("bovw", landmarks=False, hog=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_norm", "l1"),
        ("block_norm", "L3"),
        ("block_norm", None),
        ("hog", 1),
        ("hog", "yes"),
        ("landmarks", 0),
        ("landmarks", None),
    ],
)
def test_setting_that_is_not_legal_is_named_and_shown(key, value):
    with pytest.raises(ConfigError, match=rf"bovw: {key} must be one of .*, got {value!r}"):
        create_feature_extractor("bovw", **{"landmarks": False, key: value})


def test_unknown_setting_is_named_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"no setting 'blocknorm'\. Did you mean 'block_norm'\?"):
        create_feature_extractor("bovw", blocknorm="L1")


def test_model_is_found_without_importing_its_package():
    """face_recognition_models imports pkg_resources, which setuptools no longer brings."""
    import sys

    assert find_model().is_file()
    assert isinstance(find_model(), Path)
    assert "face_recognition_models" not in sys.modules


def test_errors_are_emonets():
    for error in (ConfigError, MissingDependencyError, ModelNotFoundError, WeightsError):
        assert issubclass(error, EmonetError)

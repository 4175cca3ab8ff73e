"""EmotionClassifier is an estimator of scikit-learn."""

import pickle  # noqa: TID251

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.conftest import TINY, TINY_RECIPE, make_faces

from emonet import Phase, Recipe
from emonet.sklearn import EmotionClassifier

pytestmark = pytest.mark.usefixtures("mini_backbone")

FACES = make_faces(6)
NAMES = np.array(FACES.labels)[FACES.classes]
QUICK = Recipe(
    name="quick", phases=(Phase(epochs=1, optimizer="adam", learning_rate=1e-3),), batch_size=32
)


def quick(**options) -> EmotionClassifier:
    return EmotionClassifier("mini", recipe=QUICK, random_state=0, **options)


@pytest.fixture(scope="module")
def fitted() -> EmotionClassifier:
    """A classifier that learnt the drawn faces."""
    faces = make_faces(20, seed=3)
    names = np.array(faces.labels)[faces.classes]
    classifier = EmotionClassifier(**TINY, recipe=TINY_RECIPE, random_state=0)
    return classifier.fit(faces.images, names)


def test_it_learns_names_of_classes(fitted):
    assert list(fitted.classes_) == sorted(FACES.labels)
    assert fitted.recognizer_.labels == tuple(sorted(FACES.labels))
    assert fitted.n_features_in_ == 48 * 48
    assert fitted.score(FACES.images, NAMES) > 0.3  # chance is 0.14
    probabilities = fitted.predict_proba(FACES.images)
    assert probabilities.shape == (len(FACES), 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    expected = fitted.recognizer_.predict_proba(FACES.images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_rows_are_images(fitted):
    rows = FACES.images.reshape(len(FACES), -1)
    np.testing.assert_array_equal(fitted.predict_proba(rows), fitted.predict_proba(FACES.images))
    assert (fitted.predict(rows) == fitted.predict(FACES.images)).all()


def test_it_survives_pickle(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(
        again.predict_proba(FACES.images), fitted.predict_proba(FACES.images), atol=1e-6
    )


def test_cross_validation_of_a_pipeline_of_rows():
    # MinMaxScaler makes floats of 0..1, whose range becomes black and white.
    pipeline = make_pipeline(MinMaxScaler(), quick())
    scores = cross_val_score(pipeline, FACES.images.reshape(len(FACES), -1), NAMES, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_calibration_of_images():
    calibrated = CalibratedClassifierCV(quick(), cv=2).fit(FACES.images, NAMES)
    probabilities = calibrated.predict_proba(FACES.images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert list(calibrated.classes_) == sorted(FACES.labels)


def test_clone_copies_parameters_alone(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(FACES.images)


def test_floats_and_other_shapes():
    floats = FACES.images[:, :40, :].astype(np.float32) / 255
    one = quick(pixel_range=(0, 1)).fit(floats, FACES.classes)
    assert one.image_shape_ == (40, 48)
    assert one.pixel_range_ == (0, 1)
    other = quick(image_shape=(40, -1), pixel_range=(0, 255)).fit(
        floats.reshape(len(FACES), -1) * 255, FACES.classes
    )
    np.testing.assert_allclose(
        one.predict_proba(floats), other.predict_proba(floats.reshape(len(FACES), -1) * 255),
        atol=1e-4,
    )  # fmt: skip
    assert set(one.predict(floats)) <= set(range(7))


def test_a_row_that_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"10 values is no image of \(3, 3\) pixels"):
        quick().fit(np.zeros((14, 10)), np.arange(14) % 7)
    with pytest.raises(ValueError, match="got 1 class"):
        quick().fit(FACES.images, np.zeros(len(FACES)))


# No check is expected to fail. The tag poor_score leaves out the accuracy on blobs of a few values,
# which are no faces.
@pytest.mark.slow
@parametrize_with_checks(
    # The checks' rows have some numbers of values, few of which are squares.
    [quick(image_shape=(1, -1))]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)

"""Faces of rare classes count for more, by numbers that can be told beforehand."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from emonet.data.augmentation import Augmentation
from emonet.training.batches import Examples, TrainingBatches, class_weighted, smoothed

#: Faces of each class in FER-2013's Training split.
FER2013 = np.array([3995, 436, 4097, 7215, 4830, 3171, 4965])


def examples(targets):
    """Faces whose grey value is their number, with these targets."""
    faces = np.repeat(np.arange(len(targets)) % 256, 16).reshape(-1, 4, 4)
    return Examples(faces=faces.astype(np.uint8), targets=np.asarray(targets, np.float32))


def weighted(labels, power, smoothing=0.0):
    """The examples of these labels, whose targets are smoothed, with weights by the labels."""
    labels = np.asarray(labels, np.float32)
    return class_weighted(examples(smoothed(labels, smoothing)), labels, power)


def one_hot(counts):
    return np.eye(len(counts), dtype=np.float32)[np.repeat(np.arange(len(counts)), counts)]


def weight_of_each_class(counts, power):
    weights = weighted(one_hot(counts), power).weights
    return weights[np.cumsum(counts) - 1]


def test_half_the_power_is_between_none_and_balanced():
    expected = [1.058, 3.203, 1.045, 0.787, 0.962, 1.188, 0.949]
    np.testing.assert_allclose(weight_of_each_class(FER2013, 0.5), expected, atol=5e-4)


def test_full_power_is_what_scikit_learn_calls_balanced():
    classes = np.repeat(np.arange(7), FER2013)
    expected = compute_class_weight("balanced", classes=np.arange(7), y=classes)
    np.testing.assert_allclose(weight_of_each_class(FER2013, 1), expected, rtol=1e-6)


def test_no_power_weighs_all_alike():
    np.testing.assert_array_equal(weight_of_each_class([5, 1, 3], 0), 1)


@pytest.mark.parametrize("power", [0.3, 0.5, 1])
def test_weights_are_float32_of_mean_1(power):
    for targets in (one_hot([60, 3, 7]), np.random.default_rng(0).dirichlet([5, 1, 1], 50)):
        weights = weighted(targets, power).weights
        assert weights.dtype == np.float32
        assert weights.mean() == pytest.approx(1, rel=1e-6)


def test_a_soft_target_weighs_the_mean_of_its_classes():
    targets = np.concatenate([one_hot([6, 2]), [[0.75, 0.25], [0.25, 0.75]]])
    common, rare, mostly_common, mostly_rare = (
        weighted(targets, 1).weights[i] for i in (0, 6, 8, 9)
    )
    # Ten faces in two classes, of 7 and 3 faces by their targets.
    np.testing.assert_allclose([common, rare], [10 / 14, 10 / 6], rtol=1e-6)
    assert mostly_common == pytest.approx(0.75 * common + 0.25 * rare, rel=1e-6)
    assert mostly_rare == pytest.approx(0.25 * common + 0.75 * rare, rel=1e-6)


def test_a_class_that_no_target_names_has_no_say():
    weights = weighted([[1, 0, 0]] * 3 + [[0, 1, 0]], 1).weights
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 2], rtol=1e-6)


def test_a_class_of_less_than_one_face_weighs_as_if_it_had_one():
    weights = weighted([[1, 0]] * 99 + [[0.99, 0.01]], 1).weights
    common, rare = 100 / (2 * 99.99), 100 / 2
    # 0.01 faces would weigh a hundred times as much.
    assert weights[-1] / weights[0] == pytest.approx(0.99 + 0.01 * rare / common, rel=1e-5)


def batches(power, smoothing=0.0, **settings):
    common = {"batch_size": 8, "augmentation": Augmentation(), "seed": 0, "epoch": 1}
    return TrainingBatches(
        weighted(one_hot([40, 8]), power, smoothing), **{**common, "mixup": 0.0, **settings}
    )


# Smoothing does not make a face one of all classes.
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_follow_their_faces(smoothing):
    for (faces,), _, weights in batches(1, smoothing):
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, np.where(faces[:, 0, 0] < 40, 0.6, 3), rtol=1e-6)


def test_mixed_faces_have_mixed_weights():
    mixed = 0
    for _, targets, weights in batches(1, mixup=1.0):
        np.testing.assert_allclose(weights, targets @ [0.6, 3], rtol=1e-5)
        assert weights.dtype == np.float32
        mixed += (targets.max(axis=1) < 0.999).sum()
    assert mixed > 4


def test_weights_leave_faces_and_targets_as_they_are():
    plain = TrainingBatches(
        examples(smoothed(one_hot([40, 8]), 0.1)),
        batch_size=8,
        augmentation=Augmentation(contrast=0.5, horizontal_flip=True),
        mixup=0.2,
        seed=0,
        epoch=1,
    )
    settings = {"augmentation": Augmentation(contrast=0.5, horizontal_flip=True)}
    heavier = batches(0.5, 0.1, mixup=0.2, **settings)
    for index in range(len(plain)):
        ((faces,), targets), ((same_faces,), same_targets, _) = plain[index], heavier[index]
        np.testing.assert_array_equal(faces, same_faces)
        np.testing.assert_array_equal(targets, same_targets)

"""Training steps on JAX, whose batches the device makes: the same distributions and results."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from tests.conftest import make_faces

from emonet.data import augmentation
from emonet.data.augmentation import Augmentation
from emonet.training.batches import Examples, TrainingBatches
from emonet.training.recipes import get_recipe

jax = pytest.importorskip("jax")
pytestmark = [
    pytest.mark.jax,
    # Keras 3.15 with JAX 0.10 and NumPy 2.4: not ours to mend.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

FACES = make_faces(20).images
COPIES = 4
CHANGES = {
    "rotation": Augmentation(rotation=20),
    "shear": Augmentation(shear=15),
    "zoom": Augmentation(zoom=0.3),
    "shift": Augmentation(shift=0.15),
    "horizontal_flip": Augmentation(horizontal_flip=True),
    "contrast": Augmentation(contrast=0.6),
    "brightness": Augmentation(brightness=60),
    "exposure": Augmentation(exposure=1.5),
    "jpeg_compression": Augmentation(jpeg_compression=0.5),
    "random_erasing": Augmentation(random_erasing=0.6),
}


def on_host(faces: np.ndarray, settings: Augmentation, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    moved, _ = augmentation.augment_geometry(faces, settings, random)
    changed = moved.astype(np.float32)
    augmentation.augment_appearance(changed, settings, random)
    return changed


def on_device(faces: np.ndarray, settings: Augmentation, seed: int) -> np.ndarray:
    from emonet.data import jax_augmentation

    @jax.jit
    def augment(faces, key):
        first, second = jax.random.split(key)
        moved, _ = jax_augmentation.augment_geometry(faces, settings, first)
        return jax_augmentation.augment_appearance(moved, settings, second)

    return np.asarray(augment(faces, jax.random.key(seed)))


@pytest.mark.parametrize("name", CHANGES)
def test_device_and_host_draw_from_the_same_distribution(name):
    faces = np.concatenate([FACES] * COPIES)
    one, other = on_host(faces, CHANGES[name], 0), on_device(faces, CHANGES[name], 0)
    assert other.shape == faces.shape
    assert other.min() >= 0
    assert other.max() <= 255
    changes = [np.abs(changed - faces).mean(axis=(1, 2)) for changed in (one, other)]
    levels = [changed.mean(axis=(1, 2)) - faces.mean(axis=(1, 2)) for changed in (one, other)]
    contrasts = [changed.std(axis=(1, 2)) - faces.std(axis=(1, 2)) for changed in (one, other)]
    for host, device in (changes, levels, contrasts):
        # Five standard errors of the difference of two means, and of two spreads.
        error = np.hypot(host.std(), device.std()) / np.sqrt(len(faces))
        assert abs(host.mean() - device.mean()) < 5 * error + 0.05
        assert abs(host.std() - device.std()) < 5 * error + 0.05
    # Pixel by pixel: the mean over faces shows direction and place of the change.
    spread = np.sqrt((one.var(axis=0) + other.var(axis=0)) / len(faces)) + 0.5
    assert np.abs((one.mean(axis=0) - other.mean(axis=0)) / spread).mean() < 1.5


def test_without_settings_the_device_changes_nothing():
    np.testing.assert_array_equal(on_device(FACES, Augmentation(), 0), FACES)


def test_the_device_warps_as_opencv_does():
    """The same matrices, which a generator without randomness gives."""
    from emonet.data import jax_augmentation

    settings = Augmentation(rotation=25, shear=10, zoom=0.2, shift=0.1)
    draw = np.random.default_rng(1).uniform(-1, 1, (5, len(FACES)))

    class Drawn:
        calls = 0

        def random(self, n):
            return np.ones(n)

        def uniform(self, low, high, n):
            self.calls += 1
            return high * draw[self.calls - 1]

    expected, _ = augmentation.augment_geometry(FACES, settings, Drawn())
    values = iter([np.ones(len(FACES)), *(draw + 1) / 2])

    def drawer(key, shape):
        return lambda low, high: low + (high - low) * next(values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax_augmentation, "_drawer", drawer)
        warped, _ = jax_augmentation.augment_geometry(
            jax.numpy.asarray(FACES), settings, jax.random.key(0)
        )
    # OpenCV rounds coordinates to 1/32 pixel.
    assert np.abs(np.asarray(warped) - expected).mean() < 0.6


@pytest.mark.parametrize("quality", [20, 37, 60])
@pytest.mark.parametrize("side", [48, 44])
def test_the_device_compresses_as_libjpeg_does(quality, side):
    import cv2

    from emonet.data.jax_augmentation import jpeg

    faces = FACES[:20, :side, :side]
    expected = []
    for face in faces:
        _, encoded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])
        expected.append(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))
    qualities = np.full((len(faces), 1, 1), quality)
    found = np.asarray(jpeg(jax.numpy.asarray(faces, np.float32), jax.numpy.asarray(qualities)))
    difference = np.abs(found - np.stack(expected))
    assert difference.mean() < 0.5
    # Coefficients half-way between two steps are rounded either way.
    assert np.mean(difference > 3) < 0.02


#: No randomness, and small steps: rounding must not grow.
PLAIN = replace(
    get_recipe("scratch", epochs=2).with_settings({"learning_rate": 1e-3}),
    augmentation=Augmentation(),
    mixup=0.0,
    batch_size=32,
)


def examples(count: int = 136) -> Examples:
    faces = make_faces(20)
    targets = faces.targets[:count]
    weights = np.linspace(0.5, 1.5, count, dtype=np.float32)
    return Examples(faces.images[:count], targets, weights=weights)


def trained(steps_of, recipe, *, epochs: int = 2) -> tuple[list, list[np.ndarray]]:
    """Return loss and accuracy of each epoch, and the weights."""
    from emonet import EmotionRecognizer, HeadConfig
    from emonet.assembly.networks import build_network
    from emonet.training.loop import compile_phase

    config = EmotionRecognizer("mini", head=HeadConfig(dropout=0.0)).config.networks[0]
    network = build_network(config, num_classes=7, seed=0)
    compile_phase(network, recipe.phases[0], recipe, count=136)
    steps = steps_of(network.model, recipe, examples())
    figures = [
        steps.run_epoch(
            seed=3,
            epoch=epoch,
            unmixed=False,
            title="",
            callback=keras.callbacks.Callback(),
        )
        for epoch in range(epochs)
    ]
    return figures, [np.asarray(variable) for variable in network.model.variables]


class KerasSteps:
    """The batches of the host, and Keras' own training step."""

    def __init__(self, model, recipe, train) -> None:
        self._model, self._recipe, self._train = model, recipe, train

    def run_epoch(self, *, seed, epoch, **_) -> tuple[float, ...]:
        batches = TrainingBatches(
            self._train,
            batch_size=self._recipe.batch_size,
            augmentation=self._recipe.augmentation,
            mixup=self._recipe.mixup,
            seed=seed,
            epoch=epoch,
        )
        figures = []
        for index in range(len(batches)):
            (faces,), targets, weights = batches[index]
            figures.append(self._model.train_on_batch([faces], targets, sample_weight=weights))
        return tuple(np.mean(figures, axis=0))


@pytest.fixture(scope="module")
def steps_of():
    from emonet.training.device_steps import DeviceSteps

    return {
        "keras": KerasSteps,
        "device": DeviceSteps,
        "loop": lambda *a: DeviceSteps(*a, per_call=3),
    }


@pytest.fixture(scope="module")
def outcome(mini_backbone, steps_of):
    """Of the device, one step in each call."""
    return trained(steps_of["device"], PLAIN)


@pytest.mark.parametrize("other", ["keras", "loop"])
def test_steps_are_those_of_keras(mini_backbone, steps_of, outcome, other):
    """Without randomness; ``loop`` runs several steps in one call, and fewer in the last."""
    figures, weights = trained(steps_of[other], PLAIN)
    np.testing.assert_allclose(figures, outcome[0], rtol=1e-5)
    for one, expected in zip(weights, outcome[1], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)


def test_random_batches_are_the_same_in_one_call_or_many(mini_backbone, steps_of):
    recipe = replace(get_recipe("scratch", epochs=2), batch_size=32)
    one, other = (trained(steps_of[name], recipe, epochs=1) for name in ("device", "loop"))
    np.testing.assert_allclose(one[0], other[0], rtol=1e-4)


def test_mixed_targets_and_weights_stay_consistent(mini_backbone, steps_of):
    from emonet import EmotionRecognizer
    from emonet.assembly.networks import build_network

    config = EmotionRecognizer("mini").config.networks[0]
    model = build_network(config, num_classes=7, seed=0).model
    count = 64
    faces = np.repeat(np.arange(count, dtype=np.uint8), 64).reshape(count, 8, 8)
    share = (np.arange(count) / count).astype(np.float32)
    data = Examples(
        faces,
        np.stack([share, 1 - share], axis=1),
        features=[share[:, np.newaxis]],
        mirrored_features=[-share[:, np.newaxis]],
        weights=share + 1,
    )
    recipe = replace(PLAIN, mixup=1.0, augmentation=Augmentation(horizontal_flip=True))
    model.compile("sgd", "categorical_crossentropy")
    steps = steps_of["device"](model, recipe, data)
    rows = jax.numpy.arange(count)
    mirrored = 0
    for mixed in (False, True):
        (pixels, features), targets, weights = steps._batch(
            steps._train, rows, jax.random.key(0), mixed
        )
        value = np.asarray(pixels)[:, 0, 0] / count
        np.testing.assert_allclose(np.asarray(targets)[:, 0], value, atol=1e-5)
        np.testing.assert_allclose(np.asarray(weights), value + 1, atol=1e-5)
        if mixed:
            assert np.any(np.abs(value - share) > 0.05)
        else:
            np.testing.assert_allclose(value, share, atol=1e-6)
            mirrored = int((np.asarray(features)[:, 0] < 0).sum())
    assert 16 < mirrored < 48


def test_sharpness_aware_steps_are_those_of_the_paper(mini_backbone):
    from tests.integration.test_sharpness import check_step_of_the_paper

    check_step_of_the_paper()


def test_sharpness_aware_steps_need_batches_of_the_device(mini_backbone, monkeypatch):
    from tests.integration.test_sharpness import check_learning

    from emonet.errors import ConfigError
    from emonet.training import device_steps

    check_learning()
    monkeypatch.setattr(device_steps, "MAX_BYTES", 0)
    with pytest.raises(ConfigError, match="sam_rho needs batches made on the device"):
        check_learning()


def test_large_data_and_teachers_stay_on_the_host(monkeypatch):
    from emonet.training import device_steps

    data = examples()
    assert device_steps.can_run_on_device(data)
    assert not device_steps.can_run_on_device(replace(data, teacher_targets=lambda f, t: t))
    monkeypatch.setattr(device_steps, "MAX_BYTES", data.faces.nbytes - 1)
    assert not device_steps.can_run_on_device(data)


def test_the_device_learns_as_well_as_the_host(mini_backbone, monkeypatch):
    """With augmentation and mixup: on other faces, the accuracies differ by chance only."""
    from emonet import EmotionRecognizer, Phase
    from emonet.training import device_steps

    recipe = replace(
        get_recipe("scratch"),
        phases=(Phase(epochs=24, optimizer="adam", learning_rate=3e-3),),
        augmentation=Augmentation(rotation=5, shift=0.02, exposure=0.3, random_erasing=0.2),
        batch_size=20,
        ema_decay=0.9,
        no_mixup_epochs=2,
    )
    train, valid = make_faces(30), make_faces(30, seed=1)

    def accuracy() -> float:
        recognizer = EmotionRecognizer("mini", detector="whole_image")
        return max(
            r.val_accuracy for r in recognizer.fit(train, valid, recipe=recipe).record.history
        )

    device = accuracy()
    monkeypatch.setattr(device_steps, "MAX_BYTES", 0)
    host = accuracy()
    assert min(device, host) > 0.5
    # Three standard errors of the difference of two shares of 210 faces.
    assert abs(device - host) < 3 * (2 * 0.25 / len(valid)) ** 0.5

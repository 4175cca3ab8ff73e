"""A teacher has a say in the targets: in Python, on the command line, and after a kill."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import Run
from tests.integration.recognizers import mini, watching

from emonet import EmotionRecognizer, Phase, Recipe
from emonet.assembly.sessions import Sessions
from emonet.config import ModelConfig
from emonet.data.augmentation import Augmentation
from emonet.errors import ConfigError, TrainingError
from emonet.labels import FER2013
from emonet.model import Model
from emonet.training.batches import Examples, TrainingBatches
from emonet.training.distillation import Distillation

TRAIN = make_faces(6)
VALID = make_faces(3, seed=1)
RECIPE = Recipe(
    name="mini", phases=(Phase(epochs=2, optimizer="adam", learning_rate=3e-3),), batch_size=14
)

pytestmark = pytest.mark.usefixtures("mini_backbone")


@contextmanager
def questions() -> Iterator[list[str]]:
    """Collect what is logged about asking a teacher."""
    asked: list[str] = []

    def heard(message: str) -> None:
        if "teacher" in message.lower():
            asked.append(message)

    with watching(heard):
        yield asked


def test_targets_are_labels_and_what_the_teacher_says(tiny_recognizer: EmotionRecognizer) -> None:
    said = tiny_recognizer.predict_proba(TRAIN.images)
    targets = Distillation(tiny_recognizer._sessions, 0.7).fixed_targets(TRAIN, None)
    np.testing.assert_array_equal(targets.images, TRAIN.images)
    np.testing.assert_array_equal(targets.classes, TRAIN.classes)
    np.testing.assert_allclose(targets.targets, 0.3 * TRAIN.targets + 0.7 * said, atol=1e-6)
    assert targets.targets.dtype == np.float32
    none = Distillation(tiny_recognizer._sessions, 0).fixed_targets(TRAIN, None)
    np.testing.assert_array_equal(none.targets, TRAIN.targets)


def test_columns_follow_the_students_labels(tiny_recognizer: EmotionRecognizer) -> None:
    turned = replace(TRAIN, labels=FER2013[::-1], classes=6 - TRAIN.classes)
    targets = Distillation(tiny_recognizer._sessions, 1).fixed_targets(turned, None).targets
    np.testing.assert_allclose(
        targets, tiny_recognizer.predict_proba(TRAIN.images)[:, ::-1], atol=1e-6
    )


def test_soft_labels_stay_soft(tiny_recognizer: EmotionRecognizer) -> None:
    votes = np.full((len(TRAIN), 7), 1 / 7, np.float32)
    distillation = Distillation(tiny_recognizer._sessions, 0.5)
    targets = distillation.fixed_targets(replace(TRAIN, votes=votes), None)
    said = tiny_recognizer.predict_proba(TRAIN.images)
    np.testing.assert_allclose(targets.targets, (votes + said) / 2, atol=1e-6)


def test_what_can_not_teach_is_refused(tiny_recognizer: EmotionRecognizer) -> None:
    labels = (*FER2013[:6], "contempt")
    other = replace(TRAIN, labels=labels)
    with pytest.raises(ConfigError, match=r"labels of the data: it has anger, .*, neutral, the"):
        mini(labels=labels).fit(other, other, recipe=RECIPE, teacher=tiny_recognizer)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="teacher_weight must be a number"):
            mini().fit(TRAIN, VALID, recipe=RECIPE, teacher=tiny_recognizer, teacher_weight=share)
    with pytest.raises(ConfigError, match="teaching must be one of 'fixed', 'consistent'"):
        mini().fit(TRAIN, VALID, teacher=tiny_recognizer, teaching="all")


def test_the_student_learns_otherwise_and_the_record_names_its_teacher(
    tiny_folder: Path, tmp_path: Path
) -> None:
    teacher = EmotionRecognizer.from_pretrained(tiny_folder)
    taught = mini().fit(TRAIN, VALID, recipe=RECIPE, teacher=teacher, teacher_weight=0.4)
    alone = mini().fit(TRAIN, VALID, recipe=RECIPE)
    assert taught.record.history[0].loss != alone.record.history[0].loss
    assert taught.record.data["training"] == alone.record.data["training"]
    assert taught.record.data["validation"] == alone.record.data["validation"]
    record = taught.record.teacher
    assert alone.record.teacher is None
    assert (record.networks, record.weight) == (("resnet18",), 0.4)
    weights = "resnet18.safetensors"
    assert record.files == {weights: teacher.config.files[weights]}
    taught.save_pretrained(tmp_path)
    assert EmotionRecognizer.from_pretrained(tmp_path).record.teacher == record
    assert "Distilled from resnet18 (teacher weight 0.4)" in (tmp_path / "README.md").read_text()


def test_the_teacher_is_asked_once_for_all_runs_into_one_folder(
    tiny_recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    def fit(**changes) -> EmotionRecognizer:
        return mini().fit(
            TRAIN,
            VALID,
            recipe=RECIPE,
            teacher=tiny_recognizer,
            checkpoint_dir=tmp_path,
            **changes,
        )

    with questions() as asked:
        first = fit()
        (kept,) = tmp_path.glob("teacher-*.npy")
        again = fit()
    assert asked == ["The teacher predicts 42 faces"]
    assert again.record.history == first.record.history
    kept.write_bytes(kept.read_bytes()[:100])
    with questions() as asked:
        fit()
    assert len(asked) == 2
    assert "Computing its array again" in asked[0]
    # Another teacher's answers are not taken for this one's.
    other = tiny_recognizer.with_test_time_augmentation("horizontal_flip")
    with questions() as asked:
        Distillation(other._sessions, 0.7).fixed_targets(TRAIN, tmp_path)
    assert len(asked) == 1
    assert len(list(tmp_path.glob("teacher-*.npy"))) == 2


def test_a_teacher_of_batches_answers_for_them(tiny_recognizer: EmotionRecognizer) -> None:
    turned = tuple(reversed(FER2013))
    ask = Distillation(tiny_recognizer._sessions, 0.6, "consistent").teacher_targets(turned)
    targets = np.eye(7, dtype=np.float32)[6 - TRAIN.classes]
    said = tiny_recognizer.predict_proba(TRAIN.images)[:, ::-1]
    np.testing.assert_allclose(ask(TRAIN.images, targets), 0.4 * targets + 0.6 * said, atol=1e-6)
    other = Distillation(tiny_recognizer._sessions, 0.6, "consistent")
    with pytest.raises(ConfigError, match="the labels of the data"):
        other.teacher_targets((*FER2013[:6], "contempt"))


@pytest.mark.parametrize("teaching", ["fixed", "consistent"])
def test_labels_are_smoothed_before_the_teacher_is_mixed_in(
    teaching: str, tiny_recognizer: EmotionRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Examples] = []

    def watched(network: object, recipe: Recipe, train: Examples, *more: object, **settings):
        given.append(train)
        raise KeyboardInterrupt

    monkeypatch.setattr("emonet.training.fit.run_recipe", watched)
    recipe = replace(RECIPE, label_smoothing=0.2)
    settings = {"teacher": tiny_recognizer, "teacher_weight": 0.3, "teaching": teaching}
    with pytest.raises(KeyboardInterrupt):
        mini().fit(TRAIN, VALID, recipe=recipe, **settings)
    (examples,) = given
    labels = TRAIN.targets * 0.8 + 0.2 / 7
    expected = 0.7 * labels + 0.3 * tiny_recognizer.predict_proba(TRAIN.images)
    batches = TrainingBatches(
        examples, batch_size=14, augmentation=Augmentation(), mixup=0.0, seed=0, epoch=0
    )
    rows = {face.tobytes(): index for index, face in enumerate(TRAIN.images)}
    for (faces,), targets in (batches[index] for index in range(len(batches))):
        order = [rows[face.astype(np.uint8).tobytes()] for face in faces]
        np.testing.assert_allclose(targets, expected[order], atol=1e-5)
        assert targets.dtype == np.float32
    # A run without the teacher learns from the smoothed labels alone.
    with pytest.raises(KeyboardInterrupt):
        mini().fit(TRAIN, VALID, recipe=recipe)
    np.testing.assert_allclose(given[1].targets, labels, atol=1e-6)


def test_a_teacher_of_batches_is_asked_in_every_epoch_and_told_apart(
    tiny_recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    plain = replace(RECIPE, augmentation=Augmentation(), label_smoothing=0.1)

    def fit(teacher: EmotionRecognizer = tiny_recognizer, **changes) -> EmotionRecognizer:
        settings = {"recipe": plain, "teacher": teacher, "teacher_weight": 0.5, **changes}
        return mini().fit(TRAIN, VALID, checkpoint_dir=tmp_path / "run", **settings)

    with questions() as asked:
        first = fit(teaching="consistent")
    assert not asked
    assert not list(tmp_path.glob("*/teacher-*.npy"))
    assert first.record.teacher.teaching == "consistent"
    first.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Distilled from resnet18 (teacher weight 0.5, consistent teaching)" in card
    # Nothing is changed in these faces, so that it makes no difference when the teacher is asked.
    once = mini().fit(TRAIN, VALID, recipe=plain, teacher=tiny_recognizer, teacher_weight=0.5)
    for ours, theirs in zip(first.record.history, once.record.history, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    assert fit(teaching="consistent").record.history == first.record.history
    for changes in (
        {"teacher_weight": 0.6},
        {"teacher": tiny_recognizer.with_test_time_augmentation("horizontal_flip")},
    ):
        with pytest.raises(TrainingError, match="with another teacher"):
            fit(**{"teaching": "consistent", **changes})
    with pytest.raises(TrainingError, match="with another teacher"):
        mini().fit(TRAIN, VALID, checkpoint_dir=tmp_path / "run", recipe=plain)


def test_the_command_takes_trains_options(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    outcome = run(
        *("distill", tiny_folder, "--data", fer2013_csv, "--out", out, "--teacher-weight", "0.5"),
        *("--backbone", "mini", "--detector", "whole_image", "--epochs", "1"),
        *("--recipe-option", "mixup=0", "--recipe-option", "batch_size=14"),
        *("--face-size", "44", "--license", "mit"),
    )
    assert (outcome.status, outcome.out) == (0, ""), outcome.err
    assert "The teacher predicts 140 faces" in outcome.err
    loaded = EmotionRecognizer.from_pretrained(out)
    assert loaded.config.face_sizes == ((44, 44),)
    assert loaded.record.command.startswith("emonet distill ")
    assert asdict(loaded.record.teacher)["weight"] == 0.5
    assert loaded.record.recipe["mixup"] == 0
    assert loaded.record.recipe["batch_size"] == 14
    assert not (out / "checkpoints").exists()
    for options, part in (
        (["--teacher-weight", "2"], "teacher_weight"),
        (["--recipe-option", "mixpu=1"], "Did you mean 'mixup'?"),
        (["--recipe-option", "augmentation.random_erasing=2"], "erasing must be a number in 0..1"),
        (["--recipe-option", "augmentation.horizontal_flip=2"], "flip must be true or false"),
        (["--recipe-option", "batch_size=1.5"], "batch_size must be a whole number"),
        (["--face-size", "4"], "sides must be 8 to 1024"),
        (["--face-size", "0"], "face_size"),
    ):
        refused = run(
            *("distill", tiny_folder, "--data", fer2013_csv, "--out", tmp_path / "other"),
            *("--backbone", "mini", "--detector", "whole_image", "--epochs", "1", *options),
        )
        assert (refused.status, refused.out) == (2, "")
        assert part in refused.err
    assert json.loads((out / "config.json").read_text())["networks"][0]["face_size"] == [44, 44]


def test_a_teacher_is_told_apart_by_what_its_answers_follow_from(
    tiny_recognizer: EmotionRecognizer,
) -> None:
    def identity(config: ModelConfig, graphs: dict[str, bytes]) -> object:
        other = Model(config=config, weights=tiny_recognizer.weights, graphs=graphs)
        return Distillation(Sessions(other), 0.5, "consistent").identity()

    config, graphs = tiny_recognizer.config, {"resnet18": b"graph"}
    released = replace(config.detector, distribution_version="99")
    mine = identity(config, graphs)
    assert identity(replace(config, detector=released), graphs) == mine
    (network,) = config.networks
    newer = replace(network.backbone, distribution_version="99")
    networks = (replace(network, backbone=newer),)
    assert identity(replace(config, networks=networks), graphs) == mine
    assert identity(replace(config, temperature=2.0), graphs) != mine
    assert identity(config, {}) != mine

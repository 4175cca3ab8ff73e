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
from emonet.config import RecognizerConfig
from emonet.data.augmentation import Augmentation
from emonet.errors import ConfigError, TrainingError
from emonet.labels import FER2013
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
    targets = Distillation(tiny_recognizer, 0.7).targets_for(TRAIN, None)
    np.testing.assert_array_equal(targets.images, TRAIN.images)
    np.testing.assert_array_equal(targets.classes, TRAIN.classes)
    np.testing.assert_allclose(targets.targets, 0.3 * TRAIN.targets + 0.7 * said, atol=1e-6)
    assert targets.targets.dtype == np.float32
    none = Distillation(tiny_recognizer, 0).targets_for(TRAIN, None)
    np.testing.assert_array_equal(none.targets, TRAIN.targets)


def test_columns_follow_the_students_labels(tiny_recognizer: EmotionRecognizer) -> None:
    turned = replace(TRAIN, labels=FER2013[::-1], classes=6 - TRAIN.classes)
    targets = Distillation(tiny_recognizer, 1).targets_for(turned, None).targets
    np.testing.assert_allclose(
        targets, tiny_recognizer.predict_proba(TRAIN.images)[:, ::-1], atol=1e-6
    )


def test_soft_labels_stay_soft(tiny_recognizer: EmotionRecognizer) -> None:
    votes = np.full((len(TRAIN), 7), 1 / 7, np.float32)
    targets = Distillation(tiny_recognizer, 0.5).targets_for(replace(TRAIN, votes=votes), None)
    said = tiny_recognizer.predict_proba(TRAIN.images)
    np.testing.assert_allclose(targets.targets, (votes + said) / 2, atol=1e-6)


def test_what_can_not_teach_is_refused(tiny_recognizer: EmotionRecognizer) -> None:
    labels = (*FER2013[:6], "contempt")
    other = replace(TRAIN, labels=labels)
    with pytest.raises(ConfigError, match=r"same labels: it has anger, .*, neutral, the data"):
        mini(labels=labels).fit(other, other, recipe=RECIPE, teacher=tiny_recognizer)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="teacher_share must be a number"):
            mini().fit(TRAIN, VALID, recipe=RECIPE, teacher=tiny_recognizer, teacher_share=share)
    with pytest.raises(ConfigError, match="teacher_sees must be one of 'faces', 'batches'"):
        mini().fit(TRAIN, VALID, teacher=tiny_recognizer, teacher_sees="all")


def test_the_student_learns_otherwise_and_the_record_names_its_teacher(
    tiny_folder: Path, tmp_path: Path
) -> None:
    teacher = EmotionRecognizer.from_pretrained(tiny_folder)
    taught = mini().fit(TRAIN, VALID, recipe=RECIPE, teacher=teacher, teacher_share=0.4)
    alone = mini().fit(TRAIN, VALID, recipe=RECIPE)
    assert taught.training.history[0].loss != alone.training.history[0].loss
    assert taught.training.data["training"] == alone.training.data["training"]
    assert taught.training.data["validation"] == alone.training.data["validation"]
    record = taught.training.teacher
    assert alone.training.teacher is None
    assert (record.networks, record.share) == (("resnet18",), 0.4)
    weights = "resnet18.safetensors"
    assert record.files == {weights: teacher.config.files[weights]}
    taught.save_pretrained(tmp_path)
    assert EmotionRecognizer.from_pretrained(tmp_path).training.teacher == record
    assert "Taught by resnet18 (share 0.4)" in (tmp_path / "README.md").read_text()


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
    assert asked == ["Asking the teacher about 42 faces"]
    assert again.training.history == first.training.history
    kept.write_bytes(kept.read_bytes()[:100])
    with questions() as asked:
        fit()
    assert len(asked) == 2
    assert "computed again" in asked[0]
    # Another teacher's answers are not taken for this one's.
    other = tiny_recognizer.with_test_time_augmentation("mirror")
    with questions() as asked:
        Distillation(other, 0.7).targets_for(TRAIN, tmp_path)
    assert len(asked) == 1
    assert len(list(tmp_path.glob("teacher-*.npy"))) == 2


def test_a_teacher_of_batches_answers_for_them(tiny_recognizer: EmotionRecognizer) -> None:
    turned = tuple(reversed(FER2013))
    ask = Distillation(tiny_recognizer, 0.6, "batches").asked_in(turned)
    targets = np.eye(7, dtype=np.float32)[6 - TRAIN.classes]
    said = tiny_recognizer.predict_proba(TRAIN.images)[:, ::-1]
    np.testing.assert_allclose(ask(TRAIN.images, targets), 0.4 * targets + 0.6 * said, atol=1e-6)
    other = Distillation(tiny_recognizer, 0.6, "batches")
    with pytest.raises(ConfigError, match="same labels"):
        other.asked_in((*FER2013[:6], "contempt"))


def test_a_teacher_of_batches_is_asked_in_every_epoch_and_told_apart(
    tiny_recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    plain = replace(RECIPE, augmentation=Augmentation())

    def fit(teacher: EmotionRecognizer = tiny_recognizer, **changes) -> EmotionRecognizer:
        settings = {"recipe": plain, "teacher": teacher, "teacher_share": 0.5, **changes}
        return mini().fit(TRAIN, VALID, checkpoint_dir=tmp_path / "run", **settings)

    with questions() as asked:
        first = fit(teacher_sees="batches")
    assert not asked
    assert not list(tmp_path.glob("*/teacher-*.npy"))
    assert first.training.teacher.sees == "batches"
    first.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Taught by resnet18 (share 0.5, asked about every batch)" in card
    # Nothing is changed in these faces, so that it makes no difference when the teacher is asked.
    once = mini().fit(TRAIN, VALID, recipe=plain, teacher=tiny_recognizer, teacher_share=0.5)
    for ours, theirs in zip(first.training.history, once.training.history, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    assert fit(teacher_sees="batches").training.history == first.training.history
    for changes in (
        {"teacher_share": 0.6},
        {"teacher": tiny_recognizer.with_test_time_augmentation("mirror")},
    ):
        with pytest.raises(TrainingError, match="with another teacher"):
            fit(**{"teacher_sees": "batches", **changes})
    with pytest.raises(TrainingError, match="with another teacher"):
        mini().fit(TRAIN, VALID, checkpoint_dir=tmp_path / "run", recipe=plain)


def test_the_command_takes_trains_options(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    outcome = run(
        *("distill", tiny_folder, "--data", fer2013_csv, "--out", out, "--teacher-share", "0.5"),
        *("--backbone", "mini", "--detector", "whole_image", "--epochs", "1"),
        *("--recipe-option", "mixup=0", "--recipe-option", "batch_size=14"),
        *("--face-size", "44", "--license", "mit"),
    )
    assert (outcome.status, outcome.out) == (0, ""), outcome.err
    assert "Asking the teacher about 140 faces" in outcome.err
    loaded = EmotionRecognizer.from_pretrained(out)
    assert loaded.config.face_sizes == ((44, 44),)
    assert loaded.training.command.startswith("emonet distill ")
    assert asdict(loaded.training.teacher)["share"] == 0.5
    assert loaded.training.recipe["mixup"] == 0
    assert loaded.training.recipe["batch_size"] == 14
    assert not (out / "checkpoints").exists()
    for options, part in (
        (["--teacher-share", "2"], "teacher_share"),
        (["--recipe-option", "mixpu=1"], "Did you mean 'mixup'?"),
        (["--recipe-option", "augmentation.erase=2"], "erase must be a number of 0..1"),
        (["--recipe-option", "augmentation.mirror=2"], "mirror must be true or false"),
        (["--recipe-option", "batch_size=1.5"], "batch_size must be a whole number"),
        (["--face-size", "4"], "sides of 8 to 1024"),
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
    def identity(config: RecognizerConfig, graphs: dict[str, bytes]) -> object:
        other = EmotionRecognizer._of(config)
        other._weights, other._graphs = tiny_recognizer.weights, graphs
        return Distillation(other, 0.5, "batches").identity()

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

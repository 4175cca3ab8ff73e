"""Calibration from faces to the model folder, and what an uncertain face looks like."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import Run

from emonet import EmotionRecognizer
from emonet.errors import ConfigError, DataError
from emonet.network.ensemble import apply_temperature

FACES = make_faces(20, seed=5)


@pytest.fixture
def recognizer(tiny_folder: Path) -> EmotionRecognizer:
    return EmotionRecognizer.from_pretrained(tiny_folder)


def test_it_is_learnt_on_one_half_and_told_of_the_other(recognizer: EmotionRecognizer) -> None:
    raw = recognizer.predict_proba(FACES.images)
    assert recognizer.calibrate(FACES, seed=3) is recognizer
    calibration = recognizer.record.calibration
    assert (calibration.fitted_on, calibration.faces, calibration.seed) == (70, 70, 3)
    assert recognizer.config.temperature == calibration.temperature != 1
    said = recognizer.predict_proba(FACES.images)
    np.testing.assert_allclose(said, apply_temperature(raw, calibration.temperature), atol=1e-6)
    # What is told is of the half that hold_out sets apart, and of no other.
    untouched = FACES.hold_out(0.5, seed=3)[1]
    report = recognizer.evaluate(untouched)
    assert calibration.after.accuracy == calibration.before.accuracy == report.accuracy
    assert calibration.after.log_loss == pytest.approx(report.log_loss, rel=1e-5)
    assert calibration.after.ece == pytest.approx(report.ece, abs=1e-5)
    (first, *_, last) = calibration.coverage
    assert (first.min_score, first.coverage, first.accuracy) == (0, 1, report.accuracy)
    assert last.coverage < 1


def test_to_do_it_again_gives_the_same(recognizer: EmotionRecognizer) -> None:
    once = recognizer.calibrate(FACES).record.calibration
    assert recognizer.calibrate(FACES).record.calibration == once
    assert recognizer.calibrate(FACES, seed=1).record.calibration != once


def test_what_held_before_is_dropped(recognizer: EmotionRecognizer) -> None:
    costs = recognizer.measure_robustness(FACES)
    recognizer.note_evaluation("PublicTest", recognizer.evaluate(FACES), costs)
    recognizer.calibrate(FACES)
    assert recognizer.record.evaluation == {}
    # The temperature changes no label.
    assert recognizer.record.robustness == {"PublicTest": recognizer.measure_robustness(FACES)}
    mirrored = recognizer.with_test_time_augmentation("horizontal_flip").record
    assert (mirrored.calibration, mirrored.robustness) == (None, {})
    twice = EmotionRecognizer.ensemble([recognizer, recognizer]).calibrate(FACES)
    assert twice.config.temperature != 1
    twice.fit_weights(FACES)
    assert (twice.config.temperature, twice.record.calibration) == (1, None)
    calm = twice.predict_proba(FACES.images)
    # A calibrated member brings its calibration along.
    np.testing.assert_allclose(calm, recognizer.predict_proba(FACES.images), atol=1e-5)


def test_a_calibrated_ensemble_can_be_saved_but_not_merged(
    recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    whole = EmotionRecognizer.ensemble([recognizer, recognizer]).calibrate(FACES)
    whole.save_pretrained(tmp_path)
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    assert loaded.record.calibration == whole.record.calibration
    with pytest.raises(ConfigError, match="Pass its members, and calibrate"):
        EmotionRecognizer.ensemble([loaded, recognizer])


def test_too_few_faces_are_refused(recognizer: EmotionRecognizer) -> None:
    with pytest.raises(DataError, match="Cannot hold out"):
        recognizer.calibrate((FACES.images[:0], FACES.classes[:0]))
    for seed in (-1, 2**32, True, "0"):
        with pytest.raises(ConfigError, match="calibrate: seed must be a whole number"):
            recognizer.calibrate(FACES, seed=seed)


def test_the_only_face_of_a_class_is_no_hindrance(recognizer: EmotionRecognizer) -> None:
    lonely = np.r_[FACES.classes[:20], 6]
    calibrated = EmotionRecognizer.ensemble([recognizer])
    calibrated.calibrate((FACES.images[:21], lonely))
    assert calibrated.record.calibration.fitted_on == 11


def test_the_command_changes_what_the_folder_says_and_not_its_weights(
    run: Run, tiny_recognizer: EmotionRecognizer, fer2013_csv: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    tiny_recognizer.save_pretrained(folder, title="A_model [of mine]", license="mit")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    command = ("calibrate", folder, "--data", fer2013_csv, "--split", "validation")
    (told,) = run(*command, "--seed", "4", "--json").records
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"README.md", "config.json", "training.json"}
    loaded = EmotionRecognizer.from_pretrained(folder)
    calibration = loaded.record.calibration
    assert told == json.loads(json.dumps(asdict(calibration)))
    assert (calibration.seed, calibration.faces) == (4, 21)
    stored = json.loads(before["config.json"])
    assert json.loads(after["config.json"]) == {**stored, "temperature": calibration.temperature}
    assert loaded.record.history == tiny_recognizer.record.history
    assert loaded.record.evaluation["PublicTest"].n == 42
    card = after["README.md"].decode()
    lines = before["README.md"].decode().splitlines()
    assert next(line for line in lines if line.startswith("# A")) in card.splitlines()
    assert "\nlicense: mit\n" in card
    assert f"by the temperature {calibration.temperature:.3f}, fitted on 21 faces" in card
    assert "| 0.9 | " in card
    table = run(*command)
    assert "faces with a label" in table.out


def test_only_a_folder_can_be_calibrated(run: Run, fer2013_csv: Path, tmp_path: Path) -> None:
    for model in ("default", tmp_path):
        outcome = run("calibrate", model, "--data", fer2013_csv)
        assert (outcome.status, outcome.out) == (2, "")
        assert "Only a model folder can be changed" in outcome.err


def test_an_uncertain_face_has_no_label(recognizer: EmotionRecognizer, astronaut: Path) -> None:
    (sure,) = recognizer.predict(astronaut).faces
    (same,) = recognizer.predict(astronaut, min_score=sure.score).faces
    assert same == sure
    above = min(1.0, sure.score + 1e-3)
    (unsure,) = recognizer.predict(astronaut, min_score=above).faces
    assert unsure == replace(sure, label=None)
    assert unsure.to_dict() == {**sure.to_dict(), "label": None}
    (streamed,) = recognizer.stream([astronaut], min_score=above)
    assert streamed.faces == (unsure,)
    for wrong in (-0.1, 1.1, float("nan"), "high"):
        with pytest.raises(ConfigError, match=r"min_score must be a number in 0\.\.1"):
            recognizer.stream([astronaut], min_score=wrong)


def test_the_command_shows_uncertain_faces(
    run: Run, tiny_folder: Path, astronaut: Path, tmp_path: Path
) -> None:
    command = ("predict", astronaut, "--model", tiny_folder, "--min-score", "1")
    (record,) = run(*command, "--json", "--save-annotated", tmp_path).records
    (face,) = record["faces"]
    assert face["label"] is None
    assert 0 < face["score"] < 1
    assert list(tmp_path.iterdir()) == [tmp_path / "sample.png"]
    assert "uncertain" in run(*command).out
    refused = run("predict", astronaut, "--model", tiny_folder, "--min-score", "2")
    assert (refused.status, refused.out) == (2, "")
    assert "min_score" in refused.err

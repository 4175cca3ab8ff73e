"""``python -m benchmarks choosing``: ways of choosing members, on arrays and on bundled models."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.__main__ import app
from benchmarks.choosing import best_member, compare_choosers, greedy, plain_mean
from typer.testing import CliRunner

FACES = 600
CLASSES = np.random.default_rng(9).integers(0, 3, FACES)


def member(share_right: float, seed: int) -> np.ndarray:
    """Return probabilities that are right for this share of the faces, drawn at random."""
    random = np.random.default_rng(seed)
    wrong = (CLASSES + random.integers(1, 3, FACES)) % 3
    predicted = np.where(random.random(FACES) < share_right, CLASSES, wrong)
    chances = np.where(np.eye(3)[predicted] == 1, 0.6, 0.2) * random.uniform(0.9, 1.1, (FACES, 3))
    return (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32)


def test_greedy_selection_takes_the_good_members_and_leaves_out_the_guesses() -> None:
    members = np.stack(
        [member(0.4, 1), member(0.8, 2), member(0.33, 3), member(0.8, 4), member(0.8, 5)]
    )
    chosen = greedy(members, CLASSES)
    assert chosen.sum() == pytest.approx(1)
    assert set(np.flatnonzero(chosen)) == {1, 3, 4}
    np.testing.assert_allclose(chosen[chosen > 0], 1 / 3)
    np.testing.assert_array_equal(plain_mean(members, CLASSES), np.full(5, 0.2))


def test_one_member_is_chosen_by_accuracy() -> None:
    members = np.stack([member(0.5, 1), member(0.9, 2), member(0.7, 3)])
    np.testing.assert_array_equal(best_member(members, CLASSES), [0, 1, 0])


def test_choosing_among_equals_gains_on_its_own_half_only() -> None:
    """Many members of the same skill: what is chosen is luck, which the other half lacks."""
    members = np.stack([member(0.6, seed) for seed in range(12)])
    names = [f"m{index}" for index in range(12)]
    rows = compare_choosers(members, CLASSES, names, halves=4, seed=0)
    best, mean = rows["best"], rows["mean"]
    assert best["chosen_on"] > best["held_out"] + 0.01
    assert best["gain"] < -0.1
    assert (mean["gain"], mean["gain_sd"]) == (0, 0)
    assert mean["chosen_on"] == pytest.approx(mean["held_out"])
    assert mean["all"] == pytest.approx(mean["held_out"], abs=1e-6)
    assert len(best["weights"]) == 1
    evolution = rows["evolution"]
    assert sum(evolution["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert evolution["chosen_on"] >= mean["chosen_on"]


def test_the_command_takes_ensembles_apart(fer2013_csv: Path) -> None:
    arguments = ["choosing", "default", "tiny", "--data", str(fer2013_csv), "--halves", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["faces"] == 42
    names = ["default/resnet18", "default/resnet18_2", "default/resnet18_3", "tiny/resnet18"]
    assert list(found["members"]) == names
    assert list(found["choosing"]) == ["mean", "best", "greedy", "evolution"]
    assert found["choosing"]["mean"]["weights"] == dict.fromkeys(names, 0.25)

"""Models whose graphs compute in int8: made, saved, loaded, trained again, and refused."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save
from tests.conftest import make_faces
from tests.integration.conftest import Run

from emonet import EmotionRecognizer, load_dataset
from emonet.errors import DataError, ExportError, WeightsError
from emonet.storage.folder import Dtype, write_model

FACES = make_faces(10, seed=3).images


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in int8."""
    made = tmp_path_factory.mktemp("quantised") / "int8"
    EmotionRecognizer.from_pretrained(tiny_folder).quantise(FACES).save_pretrained(made)
    return made


def precisions(recognizer: EmotionRecognizer) -> list[str]:
    return [network.graph_precision for network in recognizer.config.networks]


def test_a_saved_model_answers_in_int8(folder: Path, tiny_folder: Path) -> None:
    whole = EmotionRecognizer.from_pretrained(tiny_folder).predict_proba(FACES)
    loaded = EmotionRecognizer.from_pretrained(folder)
    assert precisions(loaded) == ["int8"]
    assert set(loaded.runtimes.values()) == {"onnxruntime"}
    assert loaded.record.quantised == "EmotionRecognizer.quantise"
    answers = loaded.predict_proba(FACES)
    assert 0 < np.abs(answers - whole).mean() < 0.05
    (graph,) = folder.glob("*.onnx")
    (weights,) = folder.glob("*.safetensors")
    assert graph.stat().st_size < weights.stat().st_size


def test_keras_runs_what_it_ran_before(folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    whole = EmotionRecognizer.from_pretrained(tiny_folder, runtime="keras").predict_proba(FACES)
    reference = EmotionRecognizer.from_pretrained(folder, runtime="keras")
    np.testing.assert_allclose(reference.predict_proba(FACES), whole, atol=1e-6)
    # It did not load the graph, so it saves one of its own.
    reference.save_pretrained(tmp_path)
    again = EmotionRecognizer.from_pretrained(tmp_path)
    assert precisions(again) == ["float32"]
    assert (again.record.quantised, again.record.evaluation) == (None, {})
    # To the graph in float32 that it had before; Keras rounds otherwise, each machine its own way.
    before = EmotionRecognizer.from_pretrained(tiny_folder)
    np.testing.assert_allclose(
        again.predict_proba(FACES), before.predict_proba(FACES), rtol=0, atol=1e-6
    )


def test_weights_that_the_graph_does_not_have_are_refused(folder: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "zeros")
    (file,) = mine.glob("*.safetensors")
    old = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(save({name: np.zeros_like(a) for name, a in load_file(file).items()}))
    config = mine / "config.json"
    new = hashlib.sha256(file.read_bytes()).hexdigest()
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(WeightsError, match="was not quantised from the weights of the model"):
        EmotionRecognizer.from_pretrained(mine)
    assert EmotionRecognizer.from_pretrained(mine, runtime="keras").weights


def test_a_graph_of_other_weights_is_not_saved(folder: Path, tmp_path: Path) -> None:
    model = EmotionRecognizer.from_pretrained(folder).model
    weights = {
        network: {name: array + 1 for name, array in arrays.items()}
        for network, arrays in model.weights.items()
    }
    with pytest.raises(WeightsError, match="was not quantised from the weights of the model"):
        write_model(tmp_path / "new", replace(model, weights=weights))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_another_precision_of_the_weights_file_belongs_to_the_graph_too(
    folder: Path, tmp_path: Path, dtype: Dtype
) -> None:
    write_model(tmp_path / "new", EmotionRecognizer.from_pretrained(folder).model, dtype=dtype)
    again = EmotionRecognizer.from_pretrained(tmp_path / "new")
    assert precisions(again) == ["int8"]


def test_an_ensemble_may_have_members_of_both_kinds(
    folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    members = [EmotionRecognizer.from_pretrained(path) for path in (folder, tiny_folder)]
    EmotionRecognizer.ensemble(members).save_pretrained(tmp_path)
    both = EmotionRecognizer.from_pretrained(tmp_path)
    assert precisions(both) == ["int8", "float32"]
    mean = np.mean([member.predict_proba(FACES) for member in members], axis=0)
    np.testing.assert_allclose(both.predict_proba(FACES), mean, atol=1e-5)


def test_figures_of_before_are_dropped(tiny_folder: Path) -> None:
    recognizer = EmotionRecognizer.from_pretrained(tiny_folder)
    data = make_faces(3)
    recognizer.note_evaluation("PublicTest", recognizer.evaluate(data))
    recognizer.quantise(FACES)
    assert recognizer.record.evaluation == {}
    assert recognizer.record.history


def test_what_is_trained_anew_computes_in_float32(folder: Path) -> None:
    recognizer = EmotionRecognizer.from_pretrained(folder)
    assert precisions(EmotionRecognizer.like(recognizer)) == ["float32"]


def test_a_network_of_more_than_pixels_is_refused(tmp_path: Path) -> None:
    hog = {"bovw": {"landmarks": False}}
    recognizer = EmotionRecognizer("resnet18", hog, backbone_config={"width": 4})
    weights = {recognizer.config.networks[0].name: {}}
    recognizer._become(replace(recognizer.model, weights=weights))
    with pytest.raises(ExportError, match="uses the feature extractor bovw"):
        recognizer.quantise(FACES)


def test_the_command_tells_the_cost(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    options = ("--data", fer2013_csv, "--tolerance", "50")
    done = run("quantise", tiny_folder, "--out", tmp_path / "int8", *options)
    assert (done.status, done.out) == (0, ""), done.err
    assert "Accuracy on 42 validation faces: float32 " in done.err
    made = EmotionRecognizer.from_pretrained(tmp_path / "int8")
    assert precisions(made) == ["int8"]
    report = made.evaluate(load_dataset(fer2013_csv, "PublicTest"))
    assert made.record.evaluation["PublicTest"].accuracy == pytest.approx(report.accuracy)
    again = run("quantise", tiny_folder, "--out", tmp_path / "int8", *options)
    assert again.status == 2
    assert "holds a model already" in again.err


def test_the_command_refuses_to_lose_too_much(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    # A gain of 60 points is more than there can be.
    options = ("--data", fer2013_csv, "--tolerance", "-60")
    done = run("quantise", tiny_folder, "--out", tmp_path / "int8", *options)
    assert done.status == 2
    assert "points of accuracy, more than --tolerance -60.0" in done.err
    assert not (tmp_path / "int8").exists()


def test_no_faces_give_no_ranges(tiny_folder: Path) -> None:
    with pytest.raises(DataError, match="ranges of int8 on 0 faces"):
        EmotionRecognizer.from_pretrained(tiny_folder).quantise(FACES[:0])


def test_figures_of_the_float_network_are_not_noted_for_int8(
    run: Run, folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(folder, tmp_path / "int8")
    command = ("evaluate", "--model", mine, "--data", fer2013_csv, "--split", "PublicTest")
    refused = run(*command, "--note", "--runtime", "keras")
    assert refused.status == 2
    assert "leave out --runtime keras" in refused.err
    assert run(*command, "--note").status == 0


def test_int8_is_compared_with_float_whatever_the_model_was(
    run: Run, folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    options = ("--data", fer2013_csv, "--tolerance", "100")
    done = run("quantise", folder, "--out", tmp_path / "again", *options)
    assert done.status == 0, done.err
    whole = EmotionRecognizer.from_pretrained(folder, runtime="keras")
    accuracy = whole.evaluate(load_dataset(fer2013_csv, "PublicTest")).accuracy
    assert f"float32 {accuracy:.4f}, int8 " in done.err

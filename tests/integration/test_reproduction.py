"""The paper's experiment as one command: at a scale that takes seconds, but whole."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_faces, write_fer2013
from tests.integration.conftest import Run

from emonet import EmotionRecognizer
from emonet.errors import ConfigError, DataError
from emonet.experiments import SCALES, VARIANTS, Scale, Variant, reproduce
from emonet.experiments.paper import PAPER_ENSEMBLE
from emonet.labels import FER2013

pytestmark = pytest.mark.usefixtures("mini_backbone")

TINY = Scale(name="tiny", input_sizes={"mini": 32}, training_faces=70, epochs=3)
PIXELS = Variant(name="small", backbone="mini", backbone_config={}, features=(), paper_accuracy=0.6)
BOVW = Variant(
    name="small_bovw",
    backbone="mini",
    backbone_config={},
    features=("bovw",),
    paper_accuracy=0.7,
)


@pytest.fixture(scope="module")
def experiment(
    mini_backbone: None, fer2013_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("experiment") / "out"
    summary = reproduce(
        fer2013_csv, out, scale=TINY, variants=[PIXELS, BOVW], pretrained=False, command="a b"
    )
    return out, summary


def test_the_papers_four_networks_and_figures() -> None:
    """As the paper's Table 2 lists them, and at the sizes of the issue."""
    assert [(v.backbone, v.features, v.paper_accuracy) for v in VARIANTS] == [
        ("inception_resnet_v2", (), 0.6275),
        ("inception_resnet_v2", ("bovw",), 0.6455),
        ("resnet50", (), 0.6892),
        ("resnet50", ("bovw",), 0.7097),
    ]
    assert PAPER_ENSEMBLE == 0.7339
    assert SCALES["paper"].input_sizes == {"inception_resnet_v2": 139, "resnet50": 197}
    assert (SCALES["paper"].training_faces, SCALES["paper"].epochs) == (None, None)
    medium = SCALES["medium"]
    assert medium.input_sizes == {"inception_resnet_v2": 75, "resnet50": 64}
    assert (medium.training_faces, medium.epochs, medium.recipe) == (None, 25, "scratch")
    assert not medium.pretrained


def test_every_network_and_the_ensemble_are_model_folders(experiment: tuple[Path, dict]) -> None:
    out, summary = experiment
    for name in ("small", "small_bovw", "ensemble"):
        recognizer = EmotionRecognizer.from_pretrained(out / name)
        report = recognizer.evaluate((make_faces(4, seed=2).images, make_faces(4, seed=2).classes))
        assert report.accuracy == summary["reports"][name]["accuracy"]
    members = EmotionRecognizer.from_pretrained(out / "ensemble").record.members
    assert [record.recipe["name"] for record in members.values()] == ["paper", "paper"]
    assert [len(record.history) for record in members.values()] == [3, 3]
    assert [record.data["training"].faces for record in members.values()] == [70, 70]


def test_the_report_has_the_papers_tables_beside_ours(experiment: tuple[Path, dict]) -> None:
    out, summary = experiment
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(summary))
    text = (out / "report.md").read_text()
    assert summary["faces"] == {"Training": 70, "PublicTest": 42, "PrivateTest": 28}
    assert "`a b`, scale tiny: mini at 32x32; 70 training faces; recipe paper, 3 epochs" in text
    for name, paper in (("small", "60.00"), ("small_bovw", "70.00"), ("ensemble", "73.39")):
        accuracy = f"{100 * summary['reports'][name]['accuracy']:.2f} %"
        (row,) = [
            line for line in text.splitlines() if line.startswith(f"| {name} | ") and paper in line
        ]
        assert accuracy in row
        assert f"## {name}, class by class" in text
    for name, weight in summary["ensemble_weights"]["weights"].items():
        assert f"| {name} | {weight:.4f} |" in text
    added = summary["parameters"]["small_bovw"] - summary["parameters"]["small"]
    # Normalisation, 128 units, and as many more inputs of the last layer.
    assert added == 4 * 2728 + (2728 + 1) * 128 + 128 * 7
    assert "too high" not in text


def test_pairs_are_compared_on_the_same_faces(experiment: tuple[Path, dict]) -> None:
    """BOVW against pixels, the ensemble against its best member, and its weights against a mean."""
    out, summary = experiment
    accuracy = {name: report["accuracy"] for name, report in summary["reports"].items()}
    best = max(("small", "small_bovw"), key=accuracy.__getitem__)
    rows = {tuple(row["networks"]): row for row in summary["comparisons"]}
    assert list(rows) == [("small", "small_bovw"), (best, "ensemble"), ("plain mean", "ensemble")]
    text = (out / "report.md").read_text()
    test = make_faces(4, seed=2)
    members = [EmotionRecognizer.from_pretrained(out / name) for name in ("small", "small_bovw")]
    for (first, second), row in rows.items():
        if first != "plain mean":
            assert row["difference"] == pytest.approx(accuracy[second] - accuracy[first])
        assert row["faces"] == summary["faces"]["PrivateTest"]
        assert 0 <= row["p_value"] <= 1
        assert f"| {first} | {second} | {100 * row['difference']:+.2f} points | " in text
    compared = members[0].compare(members[1], (test.images, test.classes)).overall
    assert {"networks": ["small", "small_bovw"], **asdict(compared)} == rows["small", "small_bovw"]


def test_every_figure_that_the_report_shows_is_a_picture(experiment: tuple[Path, dict]) -> None:
    import re

    out, _ = experiment
    shown = re.findall(r"\]\((figures/[^)]+)\)", (out / "report.md").read_text())
    assert len(shown) == 3 + 3
    for name in shown:
        pixels = np.asarray(Image.open(out / name).convert("L"))
        assert min(pixels.shape) > 200
        assert pixels.std() > 5


def test_what_is_finished_is_not_trained_again(
    experiment: tuple[Path, dict],
    fer2013_csv: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    out, summary = experiment
    monkeypatch.setattr(EmotionRecognizer, "fit", None)
    again = reproduce(
        fer2013_csv, out, scale=TINY, variants=[PIXELS, BOVW], pretrained=False, command="a b"
    )
    assert again == summary
    with pytest.raises(ConfigError, match="holds another experiment"):
        reproduce(fer2013_csv, out, scale=TINY, variants=[PIXELS], pretrained=False, seed=1)
    splits = ("Training", "PublicTest", "PrivateTest")
    other = write_fer2013(tmp_path / "b.csv", {name: make_faces(2) for name in splits})
    with pytest.raises(ConfigError, match="holds another experiment"):
        reproduce(other, out, scale=TINY, variants=[PIXELS, BOVW], pretrained=False)


@pytest.mark.parametrize(
    ("weights", "pretrained"), [({"rennet50": "a.h5"}, True), ({"mini": "a.h5"}, False)]
)
def test_weights_that_nothing_starts_from_are_refused(
    fer2013_csv: Path, tmp_path: Path, weights: dict[str, str], pretrained: bool
) -> None:
    (name,) = weights
    with pytest.raises(ConfigError, match=f"Weights were given for {name}, which no variant"):
        reproduce(
            *(fer2013_csv, tmp_path / "out"),
            scale=TINY, variants=[PIXELS], weights=weights, pretrained=pretrained,
        )  # fmt: skip


def test_nothing_is_trained_without_the_test_split(tmp_path: Path) -> None:
    data = write_fer2013(
        tmp_path / "a.csv", {"Training": make_faces(1), "PublicTest": make_faces(1)}
    )
    with pytest.raises(DataError, match="no row with Usage PrivateTest"):
        reproduce(data, tmp_path / "out", scale="small")
    assert not (tmp_path / "out").exists()


def test_unknown_scales_and_variants_are_refused(
    run: Run, fer2013_csv: Path, tmp_path: Path
) -> None:
    command = ("reproduce", "--data", fer2013_csv, "--out", tmp_path / "out")
    refused = run(*command, "--scale", "papers")
    assert (refused.status, refused.out) == (2, "")
    assert "Did you mean 'paper'?" in refused.err
    refused = run(*command, "--variants", "resnet50_bow")
    assert refused.status == 2
    assert "Did you mean 'resnet50_bovw'?" in refused.err


def test_pretrained_weights_that_are_not_there_end_it(
    run: Run, fer2013_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--scale", "small", "--variants", "resnet50", "--weights", "resnet50=nothing.h5")
    outcome = run("reproduce", "--data", fer2013_csv, "--out", out, *options)
    assert outcome.status == 2
    assert "There is no file nothing.h5" in outcome.err


def test_a_test_split_may_lack_a_class(tmp_path: Path) -> None:
    faces = make_faces(2)
    for split in ("train", "validation", "test"):
        for index, (face, kind) in enumerate(zip(faces.images, faces.classes, strict=True)):
            if split == "test" and kind == 0:
                continue
            folder = tmp_path / "data" / split / FER2013[kind]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(face).save(folder / f"{index}.png")
    # More faces than there are: the report says how many it used.
    scale = replace(TINY, training_faces=2000, epochs=2)
    summary = reproduce(
        tmp_path / "data", tmp_path / "out", scale=scale, variants=[PIXELS], pretrained=False
    )
    support = {
        label: row["support"] for label, row in summary["reports"]["small"]["per_class"].items()
    }
    assert support == {**dict.fromkeys(FER2013, 2), FER2013[0]: 0}
    assert "; 14 training faces; " in summary["scale"]
    assert summary["faces"] == {"Training": 14, "PublicTest": 14, "PrivateTest": 12}


def test_other_pretrained_weights_are_another_experiment(
    fer2013_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_nothing(*arguments: object, **options: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("emonet.experiments.reproduction._describe", train_nothing)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            begin(fer2013_csv, tmp_path, "one.h5")
    with pytest.raises(ConfigError, match="holds another experiment"):
        begin(fer2013_csv, tmp_path, "another.h5")


def begin(data: Path, out: Path, weights: str) -> None:
    reproduce(data, out, scale=TINY, variants=[PIXELS], weights={PIXELS.backbone: weights})


@pytest.mark.slow
def test_the_papers_networks_are_saved_and_loaded_as_one_ensemble(tmp_path: Path) -> None:
    """At full size with random weights: no network comes near a limit of the folder."""
    from emonet.assembly.networks import build_network
    from emonet.experiments.reproduction import _describe
    from emonet.training.warm_start import weights_digest

    members = []
    for seed, variant in enumerate(VARIANTS):
        described = _describe(variant, SCALES["paper"], FER2013, {}, pretrained=False)
        config = described.config.networks[0]
        weights = build_network(config, num_classes=len(FER2013), seed=seed).get_weights()
        model = replace(described.model, weights={config.name: weights})
        members.append(EmotionRecognizer._of(model))
    ensemble = EmotionRecognizer.ensemble(members)
    saved = weights_digest(ensemble.weights)
    size = sum(a.nbytes for arrays in ensemble.weights.values() for a in arrays.values())
    assert size > 600 * 10**6
    ensemble.save_pretrained(tmp_path)
    faces = make_faces(1).images[:2]
    expected = ensemble.predict_proba(faces)
    del members, ensemble
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    assert weights_digest(loaded.weights) == saved
    np.testing.assert_allclose(loaded.predict_proba(faces), expected, atol=1e-5)

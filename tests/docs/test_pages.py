"""What the pages show was made by their scripts, from the models as they are."""

import hashlib
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import emonet

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MODELS = Path(emonet.__file__).parent / "models"
CARDS = runpy.run_path(str(DOCS / "models" / "figures.py"))
GALLERY = runpy.run_path(str(DOCS / "images" / "gallery.py"))


@pytest.mark.parametrize("model", CARDS["MODELS"])
def test_figures_of_a_model_are_those_of_its_record(model):
    text = (DOCS / "models" / f"{model}.md").read_text()
    assert CARDS["page"](model) == text, "run docs/models/figures.py"


def test_every_bundled_model_has_a_page():
    assert {path.name for path in MODELS.iterdir()} == set(CARDS["MODELS"])


def digest(model: str) -> str:
    """Return a digest of a model's weights and graphs."""
    found = hashlib.sha256()
    for path in sorted(MODELS.joinpath(model).iterdir()):
        if path.suffix in (".onnx", ".safetensors"):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def test_the_performance_page_measured_these_models():
    """If it fails: measure anew as the page says, write the figures, then the digests."""
    text = (DOCS / "explanation" / "performance.md").read_text()
    (line,) = re.findall(r"<!-- measured: (.*) -->", text)
    assert line == " ".join(f"{model}={digest(model)}" for model in CARDS["MODELS"])


def test_the_gallery_says_what_the_model_says():
    text = (DOCS / "gallery.md").read_text()
    figures = re.findall(r"\(images/gallery-(.*)\.webp\)\n<figcaption>(.*)</figcaption>", text)
    assert [name for name, _ in figures] != []
    assert {name for name, _ in figures} == set(GALLERY["PICTURES"])
    recognizer = emonet.EmotionRecognizer.from_pretrained()
    for name, caption in figures:
        faces = recognizer.predict(np.asarray(GALLERY["PICTURES"][name]())).faces
        said = re.findall(r"([a-z]+) (\d+) %(?! of)", caption)
        faces = sorted(faces, key=lambda face: face.box.x)
        assert [face.label for face in faces] == [label for label, _ in said], name
        for face, (_, score) in zip(faces, said, strict=True):
            assert abs(100 * face.score - int(score)) < 3, name
        assert bool(faces) != ("no face" in caption), name


def test_faq_counts_the_sad_faces_of_the_record():
    report = emonet.EmotionRecognizer.from_pretrained().record.evaluation["PublicTest"]
    labels = list(report.per_class)
    row = report.confusion[labels.index("sadness")]
    text = " ".join((DOCS / "faq.md").read_text().split())
    assert f"{row[labels.index('neutral')]} of the {sum(row)} sad faces" in text

"""The diagrams are what their script draws; pictures are small, and some page shows each."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
DIAGRAMS = runpy.run_path(str(IMAGES / "diagrams.py"))["DIAGRAMS"]
PICTURES = [path for path in IMAGES.iterdir() if path.suffix in (".svg", ".webp", ".jpg")]


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_what_the_script_draws(name):
    drawn = str(DIAGRAMS[name]())
    assert (IMAGES / f"{name}.svg").read_text() == drawn, "run docs/images/diagrams.py"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_shown(picture):
    assert picture.stat().st_size < 150_000
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.html"), ROOT / "mkdocs.yml"]
    assert any(f"images/{picture.name}" in page.read_text() for page in pages)


def test_the_film_is_small():
    assert (IMAGES / "film.webm").stat().st_size < 400_000

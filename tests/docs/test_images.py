"""The diagrams are what their script draws, and pictures are small."""

import runpy
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "docs" / "images"
DIAGRAMS = runpy.run_path(str(IMAGES / "diagrams.py"))["DIAGRAMS"]


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_what_the_script_draws(name):
    drawn = str(DIAGRAMS[name]())
    assert (IMAGES / f"{name}.svg").read_text() == drawn, "run docs/images/diagrams.py"


def test_pictures_are_small():
    pictures = [path for path in IMAGES.iterdir() if path.suffix in (".svg", ".webp")]
    assert len(pictures) == len(DIAGRAMS) + 8
    assert max(path.stat().st_size for path in pictures) < 150_000
    assert (IMAGES / "film.webm").stat().st_size < 400_000

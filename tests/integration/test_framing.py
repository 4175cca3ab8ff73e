"""A face keeps its label where it is cut a fifth closer or wider than the training faces."""

import re
import shutil
from pathlib import Path

import pytest
from tests.integration.conftest import edit_config

from emonet import EmotionRecognizer
from emonet.results import Face
from emonet.storage.sources import BUNDLED

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "detectors.md"
FACTORS = (0.8, 1.0, 1.2)
MODELS = ("tiny", "fast", "default")


def reframed(model: str, factor: float, folder: Path) -> EmotionRecognizer:
    """A bundled model that cuts faces this much wider."""
    shutil.copytree(BUNDLED / model, folder)

    def widen(config):
        config["framing"]["yunet"]["scale"] *= factor

    edit_config(folder, widen)
    return EmotionRecognizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=MODELS)
def faces(
    request: pytest.FixtureRequest, astronaut: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[float, Face]]:
    """The face of the sample photo by how widely it is cut, for one model."""
    folder = tmp_path_factory.mktemp(request.param)
    found = {}
    for factor in FACTORS:
        recognizer = reframed(request.param, factor, folder / str(factor))
        (found[factor],) = recognizer.predict(astronaut).faces
    return request.param, found


def test_the_label_stays(faces: tuple[str, dict[float, Face]]) -> None:
    _, found = faces
    assert {face.label for face in found.values()} == {found[1.0].label}
    # The face was really cut otherwise.
    assert len({face.probabilities[face.label] for face in found.values()}) == len(FACTORS)


def test_the_figures_are_those_of_the_page(faces: tuple[str, dict[float, Face]]) -> None:
    model, found = faces
    ((label, *scores),) = re.findall(
        rf"^\| `{model}` \| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text(), re.M
    )
    assert label == found[1.0].label
    measured = [found[factor].score for factor in FACTORS]
    # The page's photo is a JPEG.
    assert measured == pytest.approx([float(score) for score in scores], abs=0.02)

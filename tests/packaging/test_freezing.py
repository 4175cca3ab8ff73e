"""Programs frozen by PyInstaller predict, and zip files are refused with a clear error."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, execute

from emonet.freezing import hook_folders

PROGRAM = """
import sys
from emonet import EmotionRecognizer, list_backbones, sample_photo

(face,) = EmotionRecognizer.from_pretrained("tiny").predict(sample_photo()).faces
print(face.label, "resnet50" in list_backbones(), hasattr(sys, "frozen"))
"""


def test_pyinstaller_finds_the_hook() -> None:
    found = importlib.metadata.entry_points(group="pyinstaller40", name="hook-dirs")
    assert hook_folders in [entry.load() for entry in found if entry.value.startswith("emonet.")]
    (folder,) = hook_folders()
    assert [path.name for path in Path(folder).glob("hook-*.py")] == ["hook-emonet.py"]


@pytest.mark.slow
def test_a_frozen_program_predicts(wheel: Path, tmp_path: Path) -> None:
    """Freeze a program in an environment as users have it, without TensorFlow."""
    python = tmp_path / "venv" / "bin" / "python"
    execute(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    uv = (sys.executable, "-m", "uv", "pip", "install", "--python", python)
    execute(*uv, wheel, "pyinstaller>=6.10")
    (tmp_path / "app.py").write_text(PROGRAM)
    execute(python, "-m", "PyInstaller", "app.py", cwd=tmp_path)
    # Elsewhere, where neither the environment nor the source is at hand.
    shutil.move(tmp_path / "dist" / "app", tmp_path / "moved")
    shutil.rmtree(tmp_path / "venv")
    assert execute(tmp_path / "moved" / "app", cwd="/", env={}) == "happiness True True\n"


def test_a_zip_file_is_refused(tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "emonet"), "zip", ROOT / "src", "emonet")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import emonet"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "emonet.zip")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "EmonetError: emonet can't run from a zip file" in done.stderr

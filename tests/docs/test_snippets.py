"""Every Python block of the README and the documentation runs, and the shell blocks that can."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emonet import sample_photo

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def photo_folder(tmp_path, monkeypatch):
    """A working folder with the files that the pages use: photo.jpg and video.mp4."""
    import cv2
    from PIL import Image

    shutil.copy(sample_photo(), tmp_path / "photo.jpg")
    photo = Image.open(tmp_path / "photo.jpg")
    video = cv2.VideoWriter(
        str(tmp_path / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, photo.size
    )
    for _ in range(6):
        video.write(np.asarray(photo.convert("RGB"))[..., ::-1])
    video.release()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name)
def test_python_blocks_run(page, photo_folder):
    namespace = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)


COMMANDS = [
    (page, line)
    for page in PAGES
    for block in blocks(page, "sh")
    for line in block.splitlines()
    if line.startswith("emonet ")
]


def test_there_are_commands():
    assert COMMANDS


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: str(value)[-40:])
def test_shell_blocks_run(page, line, photo_folder):
    command = [sys.executable, "-m", *shlex.split(line)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "--out" in command:
        assert Path(command[command.index("--out") + 1]).stat().st_size
    else:
        assert done.stdout


def test_the_readme_finds_a_happy_face(photo_folder):
    (example, *_) = blocks(ROOT / "README.md", "python")
    code = "import warnings; warnings.simplefilter('error')\n" + example
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    label, score = done.stdout.split()  # of the one face
    assert label == "happiness"
    assert float(score) > 0.9


def test_ci_runs_the_command_of_the_readme():
    install, test = [b for b in blocks(ROOT / "README.md", "sh") if b.startswith("pip")]
    assert install == "pip install . && emonet predict --sample\n"
    assert test in (ROOT / ".ci" / "run").read_text()


def test_the_plugin_page_makes_a_plugin(tmp_path, monkeypatch, fresh_catalog):
    page = ROOT / "docs" / "plugins" / "index.md"
    (code, *_), (project, *_) = blocks(page, "python"), blocks(page, "toml")
    (tmp_path / "acme_emonet.py").write_text(code)
    (entry_point,) = re.findall(r"^acme = \"(.*)\"", project, re.MULTILINE)
    info = tmp_path / "acme_emonet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-emonet\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[emonet]\nacme = {entry_point}\n")
    monkeypatch.syspath_prepend(tmp_path)

    import emonet

    try:
        assert "acme_net" in emonet.list_backbones()
        assert emonet.create_backbone("acme_net", width=16).output_shape == (None, 16)
    finally:
        sys.modules.pop("acme_emonet", None)

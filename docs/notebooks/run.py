"""Runs the notebooks and saves their output: ``python docs/notebooks/run.py [NAME...]``.

Pictures are saved as JPEG, because photos in PNG are large.
"""

import base64
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent


def run(path):
    """Run a notebook in an empty folder, and return it with its output."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=None, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which change with each run
        for output in cell.get("outputs", ()):
            shrink(output.get("data", {}))
    return notebook


def shrink(data):
    """Replace a PNG by a JPEG."""
    if png := data.pop("image/png", None):
        image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    for name in sys.argv[1:] or [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]:
        file = FOLDER / f"{name}.ipynb"
        nbformat.write(run(file), file)

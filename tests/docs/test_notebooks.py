"""The notebooks run, and are saved with their output."""

import runpy
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    run = runpy.run_path(str(FOLDER / "run.py"))["run"]
    notebook = run(path)
    saved = nbformat.read(path, as_version=4)
    for cell, before in zip(notebook.cells, saved.cells, strict=True):
        kinds = [output.output_type for output in cell.get("outputs", ())]
        assert kinds == [output.output_type for output in before.get("outputs", ())]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_with_its_output(path):
    notebook = nbformat.read(path, as_version=4)
    assert any(cell.get("outputs") for cell in notebook.cells)
    for cell in notebook.cells:
        assert cell.cell_type != "code" or cell.execution_count
        assert not [
            o for o in cell.get("outputs", ()) if o.output_type in ("error", "stream.stderr")
        ]
    assert path.stat().st_size < 200_000

"""Hook of mkdocs: shows the notebooks in ``notebooks/`` as pages, with their saved output."""

import re
from pathlib import Path

import nbformat
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

FOLDER = Path(__file__).parents[1] / "notebooks"


def on_files(files, config):
    """Add a page and the pictures of each notebook."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        text, resources = MarkdownExporter().from_notebook_node(
            notebook, {"unique_key": path.stem, "output_files_dir": f"{path.stem}-files"}
        )
        text = text.replace("![jpeg]", "![Output of the cell above]")
        download = f"\n\nDownload [the notebook]({path.name}) to run it yourself.\n"
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text + download))
        for name, content in resources["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead links to a notebook to its page; in a repository, they lead to the file."""
    return re.sub(r"(/notebooks/[a-z-]+)\.ipynb\)", r"\1.md)", markdown)

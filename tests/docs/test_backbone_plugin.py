"""The tutorial on plugins shows the files of the example, all of them and nothing else."""

import re
from pathlib import Path

import typer.main

from emonet.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = DOCS / "tutorials" / "backbone-plugin.md"
EXAMPLE = DOCS / "plugins" / "emonet-mobilenet"


def test_each_block_with_a_title_is_that_file():
    blocks = re.findall(
        r'^```\w+ title="(.*?)"\n(.*?)^```', TUTORIAL.read_text(), re.DOTALL | re.MULTILINE
    )
    shown = dict(blocks)
    assert len(shown) == len(blocks)
    files = {
        path.relative_to(EXAMPLE).as_posix(): path.read_text()
        for path in EXAMPLE.rglob("*")
        if path.suffix in (".py", ".toml")
    }
    assert shown.keys() == files.keys()
    for name, text in files.items():
        assert shown[name] == text, f"{name}: copy the file into the tutorial"


def test_the_tree_in_the_tutorial_is_that_of_the_example():
    (tree,) = re.findall(r"^emonet-mobilenet/\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.M)
    files = {
        path.relative_to(EXAMPLE).as_posix()
        for path in EXAMPLE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {line.strip() for line in tree.splitlines()} == files


def test_the_example_reads_the_settings_that_its_readme_lists():
    from importlib.util import module_from_spec, spec_from_file_location

    file = EXAMPLE / "src" / "emonet_mobilenet" / "__init__.py"
    specification = spec_from_file_location("example", file)
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    (spec,) = module.emonet_register_backbones()
    listed = re.findall(r"^\| `(\w+)` \|", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    assert listed == list(spec.defaults)


def test_every_option_of_plugins_new_is_in_the_reference():
    text = (DOCS / "reference" / "command-line.md").read_text()
    (section,) = re.findall(r"^## emonet plugins new.*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    new = typer.main.get_command(app).commands["plugins"].commands["new"]
    options = [option for part in new.params for option in part.opts if option.startswith("--")]
    assert options
    for option in {*options} - {"--help"}:
        assert f"`{option}`" in section

"""Nothing that users see lacks its place in the documentation."""

import inspect
import re
from pathlib import Path

import pytest
import typer.main

import emonet
from emonet import errors
from emonet.cli.app import app
from emonet.registry import hookspecs

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = typer.main.get_command(app).commands


def read(page: str) -> str:
    return (DOCS / page).read_text()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_in_the_reference(name):
    text = read("reference/command-line.md")
    section = re.search(rf"^## emonet {name}\b.*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, name
    for parameter in COMMANDS[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}`" in section[0], option


@pytest.mark.parametrize("name", [name for name in emonet.__all__ if name != "RECIPES"])
def test_every_public_name_is_in_the_reference(name):
    if name in errors.__all__:
        assert f"`{name}`" in read("reference/errors.md")
    else:
        assert f"::: emonet.{name}\n" in read("reference/python.md") + "\n"


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_explained_and_drawn(name):
    assert f"`{name}`" in read("reference/errors.md")
    assert name in errors.__doc__


@pytest.mark.parametrize("recipe", sorted(emonet.RECIPES))
def test_every_recipe_is_described(recipe):
    assert f"## {recipe}\n" in read("reference/recipes.md")


def test_every_hook_is_documented_with_its_signature():
    hooks = [name for name in dir(hookspecs) if name.startswith("emonet_")]
    assert len(hooks) == 3
    for name in hooks:
        kind = inspect.signature(getattr(hookspecs, name)).return_annotation
        assert f"{name}() -> list[{kind.__args__[0].__name__}]" in read("plugins/index.md")


def test_every_environment_variable_is_documented():
    root = Path(__file__).parents[2]
    sources = [*(root / "src").rglob("*.py"), *(root / "plugins").rglob("*.py")]
    used = {v for file in sources for v in re.findall(r"\bEMONET_[A-Z_]+", file.read_text())}
    assert used
    for variable in used:
        assert f"`{variable}`" in read("reference/environment.md")


def test_links_between_pages_lead_somewhere():
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+\.md|docs/)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)

"""Which modules import which, read from the source: a file imports only from rows above it."""

import ast
import functools
import graphlib
import sys
from pathlib import Path

import pytest

import emonet
import emonet.errors
import emonet.plugin

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PLUGINS = ROOT / "plugins"

#: The parts of emonet, lowest first; within a row, parts may know each other.
ROWS = (
    {"errors", "labels", "results", "sample"},
    {"support"},
    {"plugin", "config"},
    {"records"},
    {"model"},
    {"registry"},
    {"pipeline"},
    {"data"},
    {"runtimes"},
    {"network"},
    {"assembly"},
    {"evaluation", "storage"},
    {"training"},
    {"recognizer"},
    {"experiments"},
    {"integrations", "sklearn"},
    {"drawing", "tables"},
    {"video", "explain"},
    {"service", "batch", "ray", "demo"},
    {"cli", "testing", "freezing"},
    {"__init__", "__main__"},
)
ROW = {part: row for row, parts in enumerate(ROWS) for part in parts}

#: Consumers: they use public names only, and nothing below imports them.
CONSUMERS = {
    *("integrations", "sklearn"),
    *("drawing", "tables", "video", "explain", "service", "batch", "ray", "demo"),
}

#: Methods that are shorthands for a consumer, such as result.draw(), import it when called.
SHORTHANDS = {"results": {"drawing"}, "recognizer": {"video", "explain"}}

#: Parts that others may not import although they stand in a row above.
FORBIDDEN = {
    "plugin": {"config"},
    "pipeline": {"registry"},
    "network": {"registry", "data"},
    "runtimes": {"registry", "data", "pipeline"},
    "storage": {"evaluation"},
}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


EMONET = {module_name(path, SOURCE): path for path in SOURCE.rglob("*.py")}
BUILT_IN = {module_name(path, PLUGINS): path for path in PLUGINS.rglob("*.py")}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """Return what a file imports anywhere, in functions and for type checkers too.

    Of ``from package import name``, the module ``package.name`` where there is one.
    """
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import in line {node.lineno}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in EMONET else node.module)
    return found


def own_imports(module: str) -> set[str]:
    """Return what a module of emonet imports from emonet, except for shorthands."""
    shorthands = SHORTHANDS.get(part_of(module), set())
    found = {name for name in imports(EMONET[module]) if name.split(".")[0] == "emonet"}
    return {name for name in found if part_of(name) not in shorthands}


def own_names(module: str) -> set[tuple[str, str]]:
    """Return (module, name) for each name that a module of emonet imports from emonet."""
    return {
        (node.module, alias.name)
        for node in ast.walk(tree(EMONET[module]))
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "emonet"
        for alias in node.names
    }


def part_of(module: str) -> str:
    """Return the part of emonet that a module belongs to: ``emonet.data.splits`` -> ``data``."""
    return module.split(".")[1] if "." in module else "__init__"


def test_the_walk_sees_the_source() -> None:
    assert {"emonet", "emonet.recognizer", "emonet.registry.catalog"} <= EMONET.keys()
    assert "emonet.registry.catalog" in own_imports("emonet.recognizer")
    # Inside a function, of a submodule, and of a name in a module.
    assert "emonet.network.fusion" in own_imports("emonet.assembly.networks")
    assert "emonet.cli.train" in own_imports("emonet.cli.app")
    assert "emonet.errors" in own_imports("emonet.plugin")


@pytest.mark.parametrize("module", sorted(EMONET))
def test_every_module_has_a_row(module: str) -> None:
    assert part_of(module) in ROW


@pytest.mark.parametrize("module", sorted(EMONET))
def test_nothing_imports_from_a_higher_row(module: str) -> None:
    row = ROW[part_of(module)]
    higher = {name for name in own_imports(module) if ROW[part_of(name)] > row}
    assert not higher


@pytest.mark.parametrize("module", sorted(SHORTHANDS))
def test_shorthands_import_their_consumer_when_called(module: str) -> None:
    at_import = {
        name
        for node in tree(EMONET[f"emonet.{module}"]).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
    }
    assert not {name for name in at_import if name and name.startswith("emonet.")} & {
        f"emonet.{consumer}" for consumer in CONSUMERS
    }


@pytest.mark.parametrize(
    "module", sorted(module for module in EMONET if part_of(module) in CONSUMERS)
)
def test_consumers_use_public_names_only(module: str) -> None:
    public = {*emonet.__all__, *emonet.errors.__all__, *emonet.plugin.__all__}
    allowed = CONSUMERS | {"support"}
    assert not {
        (source, name)
        for source, name in own_names(module)
        if part_of(source) not in allowed and name not in public
    }


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        (module, FORBIDDEN[part_of(module)])
        for module in sorted(EMONET)
        if part_of(module) in FORBIDDEN
    ],
)
def test_some_parts_know_even_less(module: str, forbidden: set[str]) -> None:
    assert not {name for name in own_imports(module) if part_of(name) in forbidden}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: own_imports(module) for module in EMONET}
    # Raises CycleError, which names the circle.
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(EMONET)


@pytest.mark.parametrize("module", sorted(BUILT_IN))
def test_a_built_in_plugin_imports_only_the_contract_and_itself(module: str) -> None:
    package = module.split(".")[0]
    found = {name for name in imports(BUILT_IN[module]) if name.split(".")[0].startswith("emonet")}
    assert {name for name in found if name.split(".")[0] != package} <= {"emonet.plugin"}


def test_the_recognizer_stays_composition() -> None:
    others = {name.split(".")[0] for name in imports(EMONET["emonet.recognizer"])}
    assert others - set(sys.stdlib_module_names) == {"emonet", "keras", "numpy"}


def test_onnxruntime_is_imported_with_its_telemetry_off() -> None:
    modules = EMONET | BUILT_IN
    importing = {
        name
        for name, path in modules.items()
        if any(module.split(".")[0] == "onnxruntime" for module in imports(path))
    }
    # The second one calls the first one's import_onnxruntime before.
    assert importing == {"emonet.runtimes.onnx_runtime", "emonet.network.quantising"}
    quantising = EMONET["emonet.network.quantising"].read_text(encoding="utf-8")
    own, call, inner = map(
        quantising.index, ("def quantised(", "import_onnxruntime()\n", "from onnxruntime.")
    )
    assert own < call < inner


@pytest.mark.parametrize("module", sorted(EMONET | BUILT_IN))
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(tree((EMONET | BUILT_IN)[module]))

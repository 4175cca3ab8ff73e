"""The wheel, built as a release builds it, and installed beside nothing of the checkout."""

import configparser
import os
import shutil
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, execute

pytestmark = pytest.mark.slow

#: The built-in plugins: their packages by name.
BUILT_IN = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["emonet"]


@pytest.fixture(scope="module")
def files(wheel: Path) -> dict[str, int]:
    """The sizes of the wheel's files by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def test_the_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name.startswith("emonet-")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_holds_emonet_and_the_built_in_plugins(files: dict[str, int]) -> None:
    top = {name.split("/")[0] for name in files}
    (info,) = {name for name in top if name.endswith(".dist-info")}
    assert top - {info} == {"emonet", *BUILT_IN.values()}


def test_the_wheel_holds_every_module_of_the_checkout(files: dict[str, int]) -> None:
    sources = {
        path.relative_to(ROOT / folder).as_posix()
        for folder in ("src", "plugins")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert sources == {name for name in files if name.endswith(".py")}


def test_the_built_in_plugins_are_entry_points(wheel: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(metadata(wheel, "entry_points.txt"))
    assert dict(parser["emonet"]) == BUILT_IN
    assert dict(parser["console_scripts"]) == {"emonet": "emonet.cli:main"}


def test_the_wheel_holds_what_belongs_to_it(wheel: Path, files: dict[str, int]) -> None:
    assert "emonet/py.typed" in files
    assert metadata(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert "License-Expression: MIT AND Apache-2.0\n" in metadata(wheel, "METADATA")


def test_yunet_is_inside_with_its_licences(wheel: Path, files: dict[str, int]) -> None:
    folder = ROOT / "plugins" / "emonet_detectors" / "weights"
    expected = {f"emonet_detectors/weights/{path.name}" for path in folder.iterdir()}
    assert len(expected) == 3
    assert expected == {name for name in files if name.startswith("emonet_detectors/weights/")}
    for licence in folder.glob("LICENSE*"):
        name = f"licenses/plugins/emonet_detectors/weights/{licence.name}"
        assert metadata(wheel, name) == licence.read_text()


def test_models_and_templates_are_inside(files: dict[str, int]) -> None:
    source = ROOT / "src"
    expected = {
        path.relative_to(source).as_posix(): path.stat().st_size
        for path in (source / "emonet").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert {f"emonet/models/{name}/config.json" for name in ("default", "fast", "tiny")} <= {
        *expected
    }
    inside = {name: size for name, size in files.items() if name.startswith("emonet/")}
    assert {name: size for name, size in inside.items() if not name.endswith(".py")} == expected


def test_no_file_is_large(files: dict[str, int]) -> None:
    assert {name: size for name, size in files.items() if size > 26 * 10**6} == {}


def test_no_tests_and_no_leavings_are_inside(files: dict[str, int]) -> None:
    parts = {part for name in files for part in name.split("/")}
    assert not parts & {"tests", "conftest.py", "__pycache__", "checkpoints"}
    assert not {part for part in parts if part.startswith(("test_", ".")) or part.endswith(".pyc")}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    options = ("install", "--no-deps", "--target", target, wheel)
    beside = Path(sys.executable).parent / "uv"
    uv = shutil.which("uv") or (beside if beside.is_file() else None)
    if uv:
        execute(uv, "pip", options[0], "--python", sys.executable, *options[1:])
    else:
        execute(sys.executable, "-m", "pip", *options)
    return target


def run_installed(installed: Path, code: str) -> list[str]:
    """Run code with the wheel and this environment's other packages, not with the checkout."""
    paths = [installed, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    # Without -S, the .pth file of an editable installation would put the checkout on the path.
    return execute(
        sys.executable, "-S", "-W", "error", "-c", code, env=environment, cwd=installed
    ).splitlines()


def test_the_installed_wheel_works(installed: Path) -> None:
    printed = run_installed(
        installed,
        "import emonet, sys\n"
        "print(emonet.__file__)\n"
        "print(*emonet.list_backbones())\n"
        "print(*emonet.list_feature_extractors())\n"
        "print(*emonet.list_detectors())\n"
        "print(*(plugin.status for plugin in emonet.list_plugins()))\n"
        "for name in sorted(sys.modules):\n"
        "    if name.startswith('emonet_') and '.' not in name:\n"
        "        print(sys.modules[name].__file__)\n",
    )
    file, backbones, extractors, detectors, statuses, *plugins = printed
    assert file == str(installed / "emonet" / "__init__.py")
    assert {"densenet", "inception", "resnet18", "resnet50", "vgg"} <= set(backbones.split())
    assert "bovw" in extractors.split()
    assert {"dlib_hog", "whole_image", "yunet"} <= set(detectors.split())
    assert set(statuses.split()) == {"ok"}
    ours = {str(installed / package / "__init__.py") for package in BUILT_IN.values()}
    assert ours <= set(plugins)


def test_the_installed_command_line_works(installed: Path) -> None:
    code = "import sys; from emonet.cli import main; sys.argv = ['emonet', '--help']; main()"
    assert "predict" in "\n".join(run_installed(installed, code))

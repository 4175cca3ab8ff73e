"""Real distributions, laid into a folder on sys.path."""

import importlib
import shutil
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import emonet
from emonet.errors import PluginWarning
from emonet.registry import catalog as catalog_module
from emonet.registry.catalog import get_catalog
from emonet.registry.discovery import PluginInfo

#: What every module that is laid there starts with.
PREAMBLE = """\
from emonet.plugin import BackboneSpec, DetectorSpec, FeatureExtractorSpec, hookimpl

def build(config, **arguments):
    raise NotImplementedError("never built")

"""


class Site:
    """A folder on sys.path that distributions are laid into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def install(
        self,
        distribution: str,
        source: str,
        *,
        name: str = "acme",
        version: str = "1.2.3",
        attribute: str = "",
    ) -> str:
        """Install a package of one module with one entry point; returns the module's name."""
        module = distribution.replace("-", "_")
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{module}.py").write_text(PREAMBLE + source)
        self.add_metadata(
            distribution,
            METADATA=f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n",
            entry_points=f"[emonet]\n{name} = {module}{attribute}\n",
        )
        self.modules.append(module)
        return module

    def add_metadata(self, distribution: str, **files: str) -> None:
        """Write a .dist-info folder."""
        folder = self.folder / f"{distribution.replace('-', '_')}-1.2.3.dist-info"
        folder.mkdir(exist_ok=True)
        for file, text in files.items():
            (folder / f"{file}{'.txt' if file.islower() else ''}").write_text(text)
        importlib.invalidate_caches()

    def upgrade(
        self, distribution: str, source: str, *, version: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exchange a package for another version of it, as between two processes."""
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
        sys.modules.pop(self.install(distribution, source, version=version), None)
        monkeypatch.setattr(catalog_module, "_catalog", None)

    def install_tree(self, project: Path) -> str:
        """Install a project folder as pip would; returns its tests' folder."""
        metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        for package in (project / "src").iterdir():
            shutil.copytree(package, self.folder / package.name)
        (group,) = metadata["entry-points"].items()
        lines = [f"[{group[0]}]", *(f"{name} = {value}" for name, value in group[1].items())]
        self.add_metadata(
            metadata["name"],
            METADATA=f"Metadata-Version: 2.1\nName: {metadata['name']}\n"
            f"Version: {metadata['version']}\n",
            entry_points="\n".join(lines) + "\n",
        )
        return str(project / "tests")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_catalog: None) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    site = Site(folder)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)
    importlib.invalidate_caches()


def discover() -> list[str]:
    """Discover the plugins; returns the messages of the warnings that it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        get_catalog()
    assert {warning.category for warning in caught} <= {PluginWarning}
    return [str(warning.message) for warning in caught]


def plugin_of(distribution: str) -> PluginInfo:
    (info,) = [info for info in emonet.list_plugins() if info.distribution == distribution]
    return info

"""Contract checks common to all kinds of components."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from emonet.errors import ConfigError, PluginContractError
from emonet.plugin import Json
from emonet.registry import hookspecs
from emonet.registry.catalog import Catalog, Component, Kind, get_catalog
from emonet.registry.discovery import LoadedPlugin

HEAVY = ("cv2", "dlib", "jax", "keras", "scipy", "skimage", "sklearn", "tensorflow", "torch")


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One rule of the contract for one component; call the check to run it.

    ``str(check)`` names both, for test reports.

    Attributes:
        subject: the component under test.
        rule: function that raises an error if the component breaks the rule.
    """

    subject: "Subject"
    rule: Callable[[Any], None]

    def __call__(self) -> None:
        """Run the check.

        Raises:
            PluginContractError: the component breaks the rule.
            EmonetError: the component is not installed, or fails.
        """
        self.rule(self.subject)

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.rule.__name__}"


class Subject:
    """The component under test, looked up and built at the first check that needs it."""

    def __init__(self, kind: Kind, name: str, config: Mapping[str, Json]) -> None:
        self.kind = kind
        self.name = name
        self.config = config
        self.settings = Settings({})
        self.raw: Any = None

    @cached_property
    def component(self) -> Component:
        """The spec and its plugin."""
        return get_catalog().get(self.kind, self.name)

    @cached_property
    def built(self) -> Any:
        """The component, in the registry's guard that checks its results."""
        return self.build()

    def build(self, **arguments: Any) -> Any:
        """Build the component as emonet does, and record the settings that it reads."""
        spec = self.component.spec

        def build(config: Mapping[str, Json], **arguments: Any) -> Any:
            self.settings = Settings(config)
            self.raw = spec.build(self.settings, **arguments)
            return self.raw

        observed = LoadedPlugin(self.component.plugin, {self.kind: (replace(spec, build=build),)})
        return Catalog([observed]).build(self.kind, self.name, self.config, **arguments)

    def require(self, condition: object, message: str) -> None:
        """Raise PluginContractError if a condition is false."""
        if not condition:
            raise PluginContractError(f"The {self.component} {message}")


class Settings(dict[str, Json]):
    """A configuration that records look-ups of unknown keys."""

    def __init__(self, config: Mapping[str, Json]) -> None:
        super().__init__(config)
        self.unknown: set[str] = set()

    def __missing__(self, key: str) -> Json:
        self.unknown.add(key)
        raise KeyError(key)

    def get(self, key: str, default: Json = None) -> Json:
        """Return a setting, or the default if there is no such setting."""
        if key not in self:
            self.unknown.add(key)
        return super().get(key, default)


def registers_without_heavy_imports(subject: Subject) -> None:
    """Check that importing the plugin and calling its hooks loads no heavy library."""
    loaded = _loaded_by(subject.component.plugin.module)
    names = ", ".join(loaded)
    subject.require(
        not loaded, f"loads {names} when its plugin is imported. Import them inside build"
    )


def has_defaults_that_json_keeps(subject: Subject) -> None:
    """Check that JSON restores the defaults unchanged, so with lists instead of tuples."""
    defaults = dict(subject.component.spec.defaults)
    restored = json.loads(json.dumps(defaults))
    subject.require(
        restored == defaults,
        f"has defaults that JSON changes: {defaults} becomes {restored}. Use lists, not tuples",
    )


def refuses_unknown_settings(subject: Subject) -> None:
    """Check that an unknown setting raises an error that names it."""
    wrong = "no_such_setting"
    try:
        get_catalog().build(subject.kind, subject.name, {**subject.config, wrong: 1})
    except ConfigError as error:
        subject.require(wrong in str(error), f"refuses a setting without its name: {error}")
    else:
        subject.require(False, f"accepts the setting {wrong!r}, which its defaults lack")


def reads_only_its_settings(subject: Subject) -> None:
    """Check that build reads only settings that are in the defaults."""
    _ = subject.built
    unknown = sorted(subject.settings.unknown)
    subject.require(not unknown, f"reads settings that its defaults lack: {unknown}")


SHARED_RULES: tuple[Callable[[Subject], None], ...] = (
    registers_without_heavy_imports,
    has_defaults_that_json_keeps,
    refuses_unknown_settings,
    reads_only_its_settings,
)

_REGISTER = """
import sys
from importlib.metadata import EntryPoint
plugin = EntryPoint("", sys.argv[1], "emonet").load()
for hook in sys.argv[2:]:
    getattr(plugin, hook, list)()
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def _loaded_by(module: str) -> list[str]:
    """Import a plugin and call its hooks in a new process; return heavy libraries it loads."""
    hooks = [name for name in dir(hookspecs) if name.startswith("emonet_")]
    printed = subprocess.run(  # noqa: S603  (this process has imported the plugin, too)
        [sys.executable, "-c", _REGISTER, module, *hooks],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return [name for name in HEAVY if name in printed.split()]

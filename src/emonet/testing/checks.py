"""What the checks of all kinds of components share."""

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

__all__ = ["SHARED_RULES", "Check", "Subject"]

HEAVY = ("cv2", "dlib", "jax", "keras", "scipy", "skimage", "sklearn", "tensorflow", "torch")


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One rule of the contract and the component that has to keep it; call it to check.

    ``str(check)`` names both, for test reports.

    Attributes:
        subject: the component under test.
        rule: raises unless the subject keeps it; its name says what must hold.
    """

    subject: "Subject"
    rule: Callable[[Any], None]

    def __call__(self) -> None:
        """Check the rule.

        Raises:
            PluginContractError: the component breaks it.
            EmonetError: the component is not installed, or fails.
        """
        self.rule(self.subject)

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.rule.__name__}"


class Subject:
    """The component under test; it is looked up and built at the first check that needs it.

    Args:
        kind: of the component.
        name: of the component.
        config: what differs from its defaults.
    """

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
        """The component; what it returns is checked by the registry on the way."""
        return self.build()

    def build(self, **arguments: Any) -> Any:
        """Build the component as emonet does, and note the settings that it reads."""
        spec = self.component.spec

        def build(config: Mapping[str, Json], **arguments: Any) -> Any:
            self.settings = Settings(config)
            self.raw = spec.build(self.settings, **arguments)
            return self.raw

        observed = LoadedPlugin(self.component.plugin, {self.kind: (replace(spec, build=build),)})
        return Catalog([observed]).build(self.kind, self.name, self.config, **arguments)

    def require(self, condition: object, message: str) -> None:
        """Refuse a component for which a condition doesn't hold.

        Raises:
            PluginContractError: it doesn't.
        """
        if not condition:
            raise PluginContractError(f"The {self.component} {message}")


class Settings(dict[str, Json]):
    """A configuration that notes which keys were looked up in vain."""

    def __init__(self, config: Mapping[str, Json]) -> None:
        super().__init__(config)
        self.unknown: set[str] = set()

    def __missing__(self, key: str) -> Json:
        self.unknown.add(key)
        raise KeyError(key)

    def get(self, key: str, default: Json = None) -> Json:
        """Return a setting, or the default where there is none."""
        if key not in self:
            self.unknown.add(key)
        return super().get(key, default)


def registers_without_heavy_imports(subject: Subject) -> None:
    """Importing the plugin and calling its hooks loads no large library."""
    loaded = _loaded_by(subject.component.plugin.module)
    subject.require(
        not loaded,
        f"loads {', '.join(loaded)} when its plugin is imported; import them inside build",
    )


def has_defaults_that_json_keeps(subject: Subject) -> None:
    """A saved model gives the defaults back as they were: lists, no tuples."""
    defaults = dict(subject.component.spec.defaults)
    restored = json.loads(json.dumps(defaults))
    subject.require(
        restored == defaults,
        f"has defaults that JSON changes: {defaults} becomes {restored}; write lists for tuples",
    )


def refuses_unknown_settings(subject: Subject) -> None:
    """A misspelt setting is an error, not passed over."""
    wrong = "no_such_setting"
    try:
        get_catalog().build(subject.kind, subject.name, {**subject.config, wrong: 1})
    except ConfigError as error:
        subject.require(wrong in str(error), f"refuses a setting without naming it: {error}")
    else:
        subject.require(False, f"takes the setting {wrong!r}, which it does not declare")


def reads_only_its_settings(subject: Subject) -> None:
    """What build looks up in the configuration are keys of the defaults."""
    _ = subject.built
    unknown = sorted(subject.settings.unknown)
    subject.require(not unknown, f"looks for settings that its defaults lack: {unknown}")


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
    """Import a plugin and call its hooks in a new process; return what heavy it loads."""
    hooks = [name for name in dir(hookspecs) if name.startswith("emonet_")]
    printed = subprocess.run(  # noqa: S603  (a plugin that this process has imported as well)
        [sys.executable, "-c", _REGISTER, module, *hooks],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return [name for name in HEAVY if name in printed.split()]

"""Import and check plugins from entry points, each in isolation from the others.

pluggy checks the hooks' signatures. Its own loader is not used: it stops at the first broken
plugin, and silently drops a second entry point of the same name.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from emonet.errors import PluginContractError, PluginError, PluginLoadError
from emonet.plugin import BackboneSpec, ComponentSpec, DetectorSpec, FeatureExtractorSpec
from emonet.registry import hookspecs

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

logger = logging.getLogger("emonet")

GROUP = hookspecs.PROJECT
OWN_DISTRIBUTION = "emonet"


class Kind(StrEnum):
    """The kinds of components."""

    BACKBONE = "backbone"
    FEATURE_EXTRACTOR = "feature_extractor"
    DETECTOR = "detector"

    @property
    def words(self) -> str:
        """Return the kind in words, such as ``feature extractor``."""
        return self.value.replace("_", " ")


_HOOKS: Mapping[Kind, tuple[str, type[ComponentSpec]]] = {
    Kind.BACKBONE: ("emonet_register_backbones", BackboneSpec),
    Kind.FEATURE_EXTRACTOR: ("emonet_register_feature_extractors", FeatureExtractorSpec),
    Kind.DETECTOR: ("emonet_register_detectors", DetectorSpec),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """An installed plugin, working or not.

    Attributes:
        name: name of the entry point.
        distribution: name of the package.
        version: version of the package.
        module: module of the entry point.
        status: ``ok``, ``failed`` or ``disabled`` (by EMONET_DISABLE_PLUGINS).
        components: names of the components, by kind.
        error: error of a failed plugin, else None.
    """

    name: str
    distribution: str
    version: str
    module: str
    status: Literal["ok", "failed", "disabled"] = "ok"
    components: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: PluginError | None = None

    def __str__(self) -> str:
        return f"plugin {self.name!r} of {self.distribution} {self.version}"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "module": self.module,
            "status": self.status,
            "components": {kind: list(names) for kind, names in self.components.items()},
            "error": None if self.error is None else str(self.error),
        }


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin and its specs; a failed or disabled plugin has none."""

    info: PluginInfo
    specs: Mapping[Kind, tuple[ComponentSpec, ...]]


def load_plugins(disabled: Iterable[str], *, strict: bool) -> list[LoadedPlugin]:
    """Load every installed plugin, emonet's own first, the rest in alphabetical order.

    Plugins and packages named in ``disabled`` are skipped. In strict mode, the first broken plugin
    raises its error.
    """
    skip = set(map(plain_name, disabled))
    loaded = []
    for distribution, entry_point in _entry_points():
        name = distribution.metadata["Name"] or ""
        info = PluginInfo(
            name=entry_point.name,
            distribution=name,
            version=distribution.version or "",
            module=entry_point.value,
            status="disabled" if skip & set(map(plain_name, (entry_point.name, name))) else "ok",
        )
        loaded.append(_load(info, entry_point, strict=strict))
    return loaded


def plain_name(package: str) -> str:
    """Return a package's name, normalised by PyPA's rule."""
    return re.sub(r"[-_.]+", "-", package).lower()


def failed(info: PluginInfo, error: PluginError) -> LoadedPlugin:
    """Return a plugin as failed with an error, without any of its components."""
    return LoadedPlugin(replace(info, status="failed", error=error), {})


def _entry_points() -> "list[tuple[Distribution, EntryPoint]]":
    """Return the group's entry points; a package found twice on the path counts once."""
    from importlib.metadata import distributions

    found: dict[tuple[str, str], tuple[Distribution, EntryPoint]] = {}
    for distribution in distributions():
        try:
            name = distribution.metadata["Name"]
            selected = distribution.entry_points.select(group=GROUP)
        except Exception as error:
            # Another package is partly removed; pip would fail on it, too.
            logger.debug("Skipped a package with unreadable metadata: %s", error)
            continue
        for entry_point in selected:
            found.setdefault((name or "", entry_point.name), (distribution, entry_point))
    return [found[key] for key in sorted(found, key=lambda key: (key[0] != OWN_DISTRIBUTION, key))]


def _load(info: PluginInfo, entry_point: "EntryPoint", *, strict: bool) -> LoadedPlugin:
    """Import, register, call and check one plugin, unless it is disabled."""
    if info.status == "disabled":
        return LoadedPlugin(info, {})
    try:
        try:
            module = entry_point.load()
        except (Exception, SystemExit) as error:
            raise PluginLoadError(f"The {info} can't be imported: {_cause(error)}") from error
        specs = _call_hooks(info, module)
    except PluginError as error:
        if strict:
            raise
        return failed(info, error)
    names = {kind.value: tuple(spec.name for spec in specs[kind]) for kind in Kind}
    return LoadedPlugin(replace(info, components=names), specs)


def _call_hooks(info: PluginInfo, module: Any) -> dict[Kind, tuple[ComponentSpec, ...]]:
    """Call a plugin's hooks through a manager of its own, without any other plugin."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=info.name)
        manager.check_pending()
    except (Exception, SystemExit) as error:
        raise PluginContractError(
            f"The {info} has a hook that emonet can't call: {_cause(error)}"
        ) from error
    if not any(getattr(manager.hook, hook).get_hookimpls() for hook, _ in _HOOKS.values()):
        raise PluginContractError(
            f"The {info} implements no hook. Decorate one or more of "
            f"{', '.join(hook for hook, _ in _HOOKS.values())} with @hookimpl"
        )
    specs = {}
    for kind, (hook, spec_type) in _HOOKS.items():
        caller = getattr(manager.hook, hook)
        try:
            returned = caller()
        except PluginContractError as error:
            raise PluginContractError(f"The {info}: {error}") from error
        except (Exception, SystemExit) as error:
            raise PluginLoadError(f"The {info} failed in {hook}: {_cause(error)}") from error
        if len(returned) < len(caller.get_hookimpls()):
            returned.append(None)  # pluggy drops None from the results
        specs[kind] = tuple(
            spec for part in returned for spec in _checked(info, hook, spec_type, part)
        )
    return specs


def _checked(
    info: PluginInfo, hook: str, spec_type: type[ComponentSpec], returned: object
) -> tuple[ComponentSpec, ...]:
    """Return a hook's specs; check that they are a list without repeated names."""
    expected = f"The {info}: {hook} must return a list of {spec_type.__name__}"
    if not isinstance(returned, list | tuple):
        raise PluginContractError(f"{expected}, got {type(returned).__name__}")
    for spec in returned:
        if not isinstance(spec, spec_type):
            raise PluginContractError(f"{expected}, got a list with {type(spec).__name__}")
    names = [spec.name for spec in returned]
    if len(set(names)) != len(names):
        raise PluginContractError(f"The {info}: {hook} must not repeat a name, got {names}")
    return tuple(returned)


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

"""Component names -> specs, and from specs to components."""

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from emonet.config import nearest
from emonet.errors import (
    ComponentNotFoundError,
    ConfigError,
    PluginConflictError,
    PluginContractError,
    PluginVersionError,
    PluginWarning,
)
from emonet.plugin import ComponentSpec, Json
from emonet.registry.discovery import (
    OWN_DISTRIBUTION,
    Kind,
    LoadedPlugin,
    PluginInfo,
    failed,
    load_plugins,
    plain_name,
)
from emonet.registry.guard import (
    GuardedDetector,
    GuardedExtractor,
    call_plugin,
    checked_backbone,
)

__all__ = ["Catalog", "Component", "Kind", "get_catalog"]


@dataclass(frozen=True, slots=True)
class Component:
    """A spec and the plugin that offers it."""

    kind: Kind
    spec: ComponentSpec
    plugin: PluginInfo

    def __str__(self) -> str:
        return f"{self.kind.words} {self.spec.name!r} ({self.plugin})"

    def complete(self, config: Mapping[str, Json]) -> dict[str, Json]:
        """Return the component's defaults with some values replaced.

        Raises:
            ConfigError: a key is not one of the defaults'.
        """
        defaults = self.spec.defaults
        for key in config:
            if key not in defaults:
                raise ConfigError(
                    f"{self.spec.name} has no setting {key!r}.{nearest(key, defaults)} "
                    f"Settings: {', '.join(defaults) or 'none'}"
                )
        return {**deepcopy(dict(defaults)), **config}

    def upgrade(self, version: int, config: Mapping[str, Json]) -> dict[str, Json]:
        """Return a saved configuration as the installed plugin understands it.

        Raises:
            PluginVersionError: it is newer than the plugin, or too old for it.
        """
        spec, current = self.spec, self.spec.config_version
        if version != current:
            saved = f"{spec.name} was saved with config version {version}; the installed"
            if version > current:
                raise PluginVersionError(
                    f"{saved} {self.plugin} knows up to {current}. Upgrade the plugin."
                )
            if spec.upgrade is None:
                raise PluginVersionError(
                    f"{saved} {self.plugin} reads only {current}. Install an older release "
                    f"of the plugin."
                )
            config = call_plugin(str(self), "upgrade", spec.upgrade, version, dict(config))
            if not isinstance(config, Mapping):
                raise PluginContractError(
                    f"The {self}: upgrade must return a configuration, got {config!r}"
                )
        return self.complete(config)


class Catalog:
    """Everything that the installed plugins offer.

    Args:
        loaded: the plugins, emonet's own first.
        strict: raise a conflict instead of disabling the plugin that causes it.

    Raises:
        PluginConflictError: in strict mode.
    """

    def __init__(self, loaded: Iterable[LoadedPlugin], *, strict: bool = False) -> None:
        self._strict = strict
        self._plugins: list[PluginInfo] = []
        self._components: dict[tuple[Kind, str], list[Component]] = {}
        for plugin in loaded:
            self._add(self._without_conflict(plugin))

    def _without_conflict(self, plugin: LoadedPlugin) -> LoadedPlugin:
        """Disable a plugin that claims the name of a built-in component."""
        for kind, specs in plugin.specs.items():
            for spec in specs:
                others = self._components.get((kind, spec.name), [])
                if any(other.plugin.distribution == OWN_DISTRIBUTION for other in others):
                    message = (
                        f"The {plugin.info} claims the name of emonet's own {kind.words} "
                        f"{spec.name!r}; its author should choose another"
                    )
                    error = PluginConflictError(message)
                    if self._strict:
                        raise error
                    return failed(plugin.info, error)
        return plugin

    def _add(self, plugin: LoadedPlugin) -> None:
        self._plugins.append(plugin.info)
        for kind, specs in plugin.specs.items():
            for spec in specs:
                offers = self._components.setdefault((kind, spec.name), [])
                offers.append(Component(kind, spec, plugin.info))

    @property
    def plugins(self) -> list[PluginInfo]:
        """Every plugin, working or not."""
        return list(self._plugins)

    def names(self, kind: Kind) -> list[str]:
        """Return the names of all components of a kind, sorted."""
        return sorted(name for found, name in self._components if found is kind)

    def get(self, kind: Kind, name: str, *, distribution: str = "") -> Component:
        """Look a component up.

        Args:
            kind: of the component.
            name: of the component.
            distribution: take only what this package offers, as saved models ask for; by
                default, any may.

        Raises:
            ComponentNotFoundError: nobody offers it; names what is near, and failed plugins.
            PluginLoadError: (or another PluginError) the plugin that offers it failed.
            PluginConflictError: several packages offer it and none was named.
        """
        offers = self._components.get((kind, name), [])
        matching = [
            offer
            for offer in offers
            if not distribution or plain_name(distribution) == plain_name(offer.plugin.distribution)
        ]
        if len(matching) == 1:
            return matching[0]
        if matching:
            owners = ", ".join(offer.plugin.distribution for offer in matching)
            raise PluginConflictError(
                f"Several packages offer a {kind.words} {name!r}: {owners}. Uninstall all but "
                f"one, or name the others in EMONET_DISABLE_PLUGINS."
            )
        self._raise_if_failed(kind, name, distribution)
        raise ComponentNotFoundError(self._not_found(kind, name, distribution, offers))

    def _raise_if_failed(self, kind: Kind, name: str, distribution: str) -> None:
        """Say why the plugin that is meant failed; one that was not imported offers no names."""
        for info in self._plugins:
            same = plain_name(info.distribution) == plain_name(distribution)
            offers = name in info.components.get(kind.value, ())
            if info.error is not None and (
                (offers and (same or not distribution)) or (same and not info.components)
            ):
                # It is raised at every look-up, and would remember each of them.
                raise info.error.with_traceback(None)

    def _not_found(self, kind: Kind, name: str, distribution: str, offers: list[Component]) -> str:
        message = f"No {kind.words} {name!r} is installed."
        if offers:
            message = (
                f"The {kind.words} {name!r} of {distribution!r} is not installed (one of "
                f"that name comes from {offers[0].plugin.distribution!r})."
            )
        elif distribution not in ("", OWN_DISTRIBUTION):
            message += (
                f" It was saved with the package {distribution!r}; install that only if you "
                f"trust it."
            )
        message += nearest(name, self.names(kind))
        message += f" Installed: {', '.join(self.names(kind)) or 'none'}."
        broken = [str(info.error) for info in self._plugins if info.error is not None]
        return " ".join([message, *broken])

    def build(
        self,
        kind: Kind,
        name: str,
        config: Mapping[str, Json],
        *,
        distribution: str = "",
        **arguments: Any,
    ) -> Any:
        """Build a component.

        Args:
            kind: of the component.
            name: of the component.
            config: what differs from its defaults.
            distribution: as for get.
            arguments: passed on to the spec's ``build``.

        Raises:
            PluginRuntimeError: the plugin's code raised something that is no EmonetError.
            PluginContractError: what it built is not what the contract says.
        """
        component = self.get(kind, name, distribution=distribution)
        who, build = str(component), component.spec.build
        built = call_plugin(who, "build", build, component.complete(config), **arguments)
        return _GUARDS[kind](built, who)


_GUARDS: Mapping[Kind, Callable[[Any, str], Any]] = {
    Kind.BACKBONE: checked_backbone,
    Kind.FEATURE_EXTRACTOR: GuardedExtractor,
    Kind.DETECTOR: GuardedDetector,
}

_catalog: Catalog | None = None
_loading = False
# A plugin that looks something up while it loads comes back here in the same thread.
_lock = threading.RLock()


def get_catalog() -> Catalog:
    """Return the catalog of installed plugins; the first call discovers them.

    ``EMONET_DISABLE_PLUGINS`` names plugins or packages to leave alone, separated by commas.
    With ``EMONET_STRICT_PLUGINS=1`` a broken plugin's error is raised here.

    Raises:
        PluginError: a plugin is broken, in strict mode, or looks components up while it loads.
    """
    global _catalog, _loading
    with _lock:
        if _catalog is not None:
            return _catalog
        if _loading:
            raise PluginContractError("A plugin must not look components up while it loads")
        _loading = True
        try:
            catalog = _discover()
        finally:
            _loading = False
        _catalog = catalog
    # Only now: where warnings are errors, the catalog is there all the same.
    for info in catalog.plugins:
        if info.error is not None:
            message = f"{str(info.error).rstrip('.')}. It is disabled."
            warnings.warn(message, PluginWarning, stacklevel=2)
    return catalog


def _discover() -> Catalog:
    disabled = os.environ.get("EMONET_DISABLE_PLUGINS", "").split(",")
    strict = os.environ.get("EMONET_STRICT_PLUGINS") == "1"
    loaded = load_plugins((name.strip() for name in disabled), strict=strict)
    return Catalog(loaded, strict=strict)

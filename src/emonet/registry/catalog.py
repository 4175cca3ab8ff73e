"""Look components up by name, and build them."""

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
from emonet.registry.guard import GuardedDetector, GuardedExtractor, call_plugin, checked_backbone

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
        """Return the component's defaults with some values replaced."""
        defaults = self.spec.defaults
        for key in config:
            if key not in defaults:
                raise ConfigError(
                    f"{self.spec.name} has no setting {key!r}.{nearest(key, defaults)} "
                    f"Settings: {', '.join(defaults) or 'none'}"
                )
        return {**deepcopy(dict(defaults)), **config}

    def upgrade(self, version: int, config: Mapping[str, Json]) -> dict[str, Json]:
        """Return a saved configuration, upgraded to the version of the installed plugin."""
        spec, current = self.spec, self.spec.config_version
        if version != current:
            saved = f"{spec.name} was saved with config version {version}; the installed"
            if version > current:
                raise PluginVersionError(
                    f"{saved} {self.plugin} reads up to {current}. Upgrade the plugin."
                )
            if spec.upgrade is None:
                raise PluginVersionError(
                    f"{saved} {self.plugin} reads only {current}. Install an older release "
                    f"of the plugin."
                )
            config = call_plugin(str(self), "upgrade", spec.upgrade, version, dict(config))
            if not isinstance(config, Mapping):
                raise PluginContractError(
                    f"The {self}: upgrade must return a mapping, got {config!r}"
                )
        return self.complete(config)


class Catalog:
    """The components of all installed plugins.

    A plugin that uses the name of a built-in component is disabled, or refused in strict mode, so
    emonet's own plugins must be loaded first.
    """

    def __init__(self, loaded: Iterable[LoadedPlugin], *, strict: bool = False) -> None:
        self._strict = strict
        self._plugins: list[PluginInfo] = []
        self._components: dict[tuple[Kind, str], list[Component]] = {}
        for candidate in loaded:
            plugin = self._without_conflict(candidate)
            self._plugins.append(plugin.info)
            for kind, specs in plugin.specs.items():
                for spec in specs:
                    offers = self._components.setdefault((kind, spec.name), [])
                    offers.append(Component(kind, spec, plugin.info))

    def _without_conflict(self, plugin: LoadedPlugin) -> LoadedPlugin:
        """Return the plugin, disabled if it uses the name of a built-in component."""
        for kind, specs in plugin.specs.items():
            for spec in specs:
                others = self._components.get((kind, spec.name), [])
                if any(other.plugin.distribution == OWN_DISTRIBUTION for other in others):
                    error = PluginConflictError(
                        f"The {plugin.info} uses the name of emonet's own {kind.words} "
                        f"{spec.name!r}. Its author must choose another name"
                    )
                    if self._strict:
                        raise error
                    return failed(plugin.info, error)
        return plugin

    @property
    def plugins(self) -> list[PluginInfo]:
        """All plugins, working or not."""
        return list(self._plugins)

    def names(self, kind: Kind) -> list[str]:
        """Return the names of all components of a kind, sorted."""
        return sorted(name for found, name in self._components if found is kind)

    def get(self, kind: Kind, name: str, *, distribution: str = "") -> Component:
        """Return a component of any package, or of the one that a saved model requires.

        Raises:
            ComponentNotFoundError: no plugin offers it; lists similar names and failed plugins.
            PluginLoadError: (or another PluginError) the plugin that offers it failed.
            PluginConflictError: several packages offer it and ``distribution`` is not given.
        """
        offers = self._components.get((kind, name), [])
        wanted = plain_name(distribution)
        matching = [
            offer for offer in offers if wanted in ("", plain_name(offer.plugin.distribution))
        ]
        if len(matching) == 1:
            return matching[0]
        if matching:
            owners = ", ".join(offer.plugin.distribution for offer in matching)
            raise PluginConflictError(
                f"Several packages offer a {kind.words} {name!r}: {owners}. Uninstall all but "
                f"one, or name the others in EMONET_DISABLE_PLUGINS."
            )
        for info in self._plugins:
            same = plain_name(info.distribution) == wanted
            offered = name in info.components.get(kind.value, ()) and (same or not wanted)
            # A plugin that can't be imported has no components.
            if info.error is not None and (offered or (same and not info.components)):
                # Every look-up raises the same error; its traceback must not grow.
                raise info.error.with_traceback(None)
        raise ComponentNotFoundError(self._not_found(kind, name, distribution, offers))

    def _not_found(self, kind: Kind, name: str, distribution: str, offers: list[Component]) -> str:
        message = f"No {kind.words} {name!r} is installed."
        if offers:
            message = (
                f"The {kind.words} {name!r} of {distribution!r} is not installed (the installed "
                f"{kind.words} of this name comes from {offers[0].plugin.distribution!r})."
            )
        elif distribution not in ("", OWN_DISTRIBUTION):
            message += (
                f" The model needs the package {distribution!r}; install it only if you trust it."
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
        """Build a component with settings that differ from its defaults.

        Raises:
            PluginRuntimeError: the plugin's code raised an error other than EmonetError.
            PluginContractError: the built component breaks the contract.
        """
        component = self.get(kind, name, distribution=distribution)
        owner, build = str(component), component.spec.build
        built = call_plugin(owner, "build", build, component.complete(config), **arguments)
        return _GUARDS[kind](built, owner)


_GUARDS: Mapping[Kind, Callable[[Any, str], Any]] = {
    Kind.BACKBONE: checked_backbone,
    Kind.FEATURE_EXTRACTOR: GuardedExtractor,
    Kind.DETECTOR: GuardedDetector,
}

_catalog: Catalog | None = None
_loading = False
# Reentrant, because a plugin may look a component up while it loads, in the same thread.
_lock = threading.RLock()


def get_catalog() -> Catalog:
    """Return the catalog of installed plugins; the first call discovers them.

    ``EMONET_DISABLE_PLUGINS`` lists plugins or packages to skip, separated by commas. With
    ``EMONET_STRICT_PLUGINS=1``, the first broken plugin raises its error.

    Raises:
        PluginError: in strict mode, a plugin is broken; or one looks components up while loading.
    """
    global _catalog, _loading
    with _lock:
        if _catalog is not None:
            return _catalog
        if _loading:
            raise PluginContractError("A plugin must not look components up while it loads")
        _loading = True
        try:
            disabled = os.environ.get("EMONET_DISABLE_PLUGINS", "").split(",")
            strict = os.environ.get("EMONET_STRICT_PLUGINS") == "1"
            loaded = load_plugins((name.strip() for name in disabled), strict=strict)
            _catalog = catalog = Catalog(loaded, strict=strict)
        finally:
            _loading = False
    # Warn last: if warnings are errors, the next call still gets the catalog.
    for info in catalog.plugins:
        if info.error is not None:
            message = f"{str(info.error).rstrip('.')}. The plugin is disabled."
            warnings.warn(message, PluginWarning, stacklevel=2)
    return catalog

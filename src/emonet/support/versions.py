"""Versions of installed packages."""

from collections.abc import Mapping


def emonet_version() -> str:
    """Return the version of emonet."""
    # importlib.metadata is slow to import, and `import emonet` does not need it.
    from importlib.metadata import version

    return version("emonet")


def installed(libraries: Mapping[str, str]) -> dict[str, str | None]:
    """Return the version of each package that provides a library; None if not installed.

    Libraries map a name to an import name. Several packages may provide one library, such as
    tensorflow and tensorflow-cpu.
    """
    from importlib import metadata

    found: dict[str, str | None] = {}
    packages = metadata.packages_distributions()
    for library, module in libraries.items():
        for package in sorted(set(packages.get(module, [library]))):
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                found[package] = None
    return found

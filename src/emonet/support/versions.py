"""Versions of installed packages."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version


def installed(libraries: Mapping[str, str]) -> dict[str, str | None]:
    """Return the version of each package that provides a library; None if not installed.

    Libraries map a name to an import name. Several packages may provide one library, such as
    tensorflow and tensorflow-cpu.
    """
    found: dict[str, str | None] = {}
    packages = packages_distributions()
    for library, module in libraries.items():
        for package in sorted(set(packages.get(module, [library]))):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = None
    return found

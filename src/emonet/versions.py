"""Which packages are installed, and their versions."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version

__all__ = ["installed"]


def installed(libraries: Mapping[str, str]) -> dict[str, str | None]:
    """Return the version of each package that brings a library; None where there is none.

    Args:
        libraries: what is imported of each library, by the library's name. It may come from
            packages of several names, such as tensorflow and tensorflow-cpu.
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

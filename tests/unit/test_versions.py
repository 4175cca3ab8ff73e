"""Packages are found by what is imported of them, and one that is missing stops nobody."""

from importlib import metadata

import pytest

from emonet.support import versions
from emonet.training.record import installed_versions


def test_a_library_may_come_from_packages_of_several_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packages = {"tensorflow": ["numpy", "gone", "numpy"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: packages)
    found = versions.installed({"tensorflow": "tensorflow", "jax": "no_such_module"})
    assert found == {"numpy": metadata.version("numpy"), "gone": None, "jax": None}


def test_a_record_leaves_out_what_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"keras": ["gone"]})
    assert installed_versions("scipy").keys() == {"emonet", "tensorflow", "scipy"}

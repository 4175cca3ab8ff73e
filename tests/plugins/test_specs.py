"""emonet.plugin: what a spec refuses, and the checks that it offers for settings."""

import dataclasses
import math

import pytest

from emonet.errors import ConfigError, PluginContractError
from emonet.plugin import (
    BackboneSpec,
    ComponentSpec,
    DetectorSpec,
    FeatureExtractorSpec,
    require_choice,
    require_number,
    require_size,
)


def build(config, **arguments):
    raise NotImplementedError


def make(kind: type[ComponentSpec] = BackboneSpec, **changes) -> ComponentSpec:
    fields = {"name": "acme_net", "build": build}
    if kind is BackboneSpec:
        fields["input_size"] = (48, 32)
    return kind(**{**fields, **changes})


KINDS = pytest.mark.parametrize("kind", [BackboneSpec, FeatureExtractorSpec, DetectorSpec])


@KINDS
def test_only_a_name_and_a_build_are_needed(kind: type[ComponentSpec]) -> None:
    spec = make(kind)
    assert (spec.name, spec.build, dict(spec.defaults)) == ("acme_net", build, {})
    assert (spec.config_version, spec.upgrade, spec.summary) == (1, None, "")


def test_a_backbone_needs_its_input_size_as_well() -> None:
    with pytest.raises(TypeError, match="input_size"):
        BackboneSpec(name="acme_net", build=build)


@pytest.mark.parametrize("name", ["a", "acme_net2", "a" * 64])
def test_legal_names(name: str) -> None:
    assert make(name=name).name == name


@KINDS
@pytest.mark.parametrize(
    "name",
    [
        "",
        "Acme",
        "acme-net",
        "2net",
        "_net",
        "acme net",
        "acme\n",
        "../acme",
        "é",
        "a" * 65,
        None,
        3,
        b"acme",
    ],
)
def test_a_bad_name_is_refused(kind: type[ComponentSpec], name: object) -> None:
    with pytest.raises(PluginContractError) as raised:
        make(kind, name=name)
    assert repr(name) in str(raised.value)


@KINDS
@pytest.mark.parametrize("builder", [None, "acme_net:build", {}])
def test_a_build_that_cannot_be_called_is_refused(
    kind: type[ComponentSpec], builder: object
) -> None:
    with pytest.raises(PluginContractError, match="acme_net: build must be callable"):
        make(kind, build=builder)


@pytest.mark.parametrize(
    "defaults",
    [{}, {"a": None, "b": True, "c": 1, "d": 0.5, "e": "x"}, {"a": [1, {"b": [None, (2, 3)]}]}],
)
def test_defaults_may_hold_what_json_can(defaults: dict) -> None:
    assert dict(make(defaults=defaults).defaults) == defaults


@KINDS
@pytest.mark.parametrize(
    "defaults",
    [
        None,
        ["width"],
        {1: "key is no string"},
        {"a": {1, 2}},
        {"a": b"bytes"},
        {"a": ...},
        {"a": [1, {"b": 1j}]},
        {"a": {2: "inner key is no string"}},
        {"a": math.nan},
        {"a": [math.inf]},
    ],
    ids=str,
)
def test_defaults_that_json_cannot_hold_are_refused(
    kind: type[ComponentSpec], defaults: object
) -> None:
    with pytest.raises(PluginContractError, match="acme_net: defaults must map names to JSON"):
        make(kind, defaults=defaults)


@KINDS
@pytest.mark.parametrize("version", [0, -1, 1.0, "1", None, True])
def test_a_bad_config_version_is_refused(kind: type[ComponentSpec], version: object) -> None:
    with pytest.raises(PluginContractError, match="acme_net: config_version must be 1 or more"):
        make(kind, config_version=version)


@pytest.mark.parametrize(
    "size",
    [
        None,
        48,
        "48",
        (),
        (48,),
        (48, 48, 3),
        [48, 48],
        (0, 48),
        (48, -1),
        (48.0, 48),
        ("48", 48),
        (None, None),
    ],
    ids=str,
)
def test_a_bad_input_size_is_refused(size: object) -> None:
    with pytest.raises(PluginContractError, match="acme_net: input_size must be") as raised:
        make(input_size=size)
    assert repr(size) in str(raised.value)


@KINDS
def test_machine_settings_are_keys_of_the_defaults(kind: type[ComponentSpec]) -> None:
    defaults = {"width": 8, "path": None}
    assert make(kind, defaults=defaults, machine_settings=("path",)).machine_settings == ("path",)
    for wrong in (("file",), ("path", "file"), "path"):
        with pytest.raises(PluginContractError, match="acme_net: machine_settings must be keys"):
            make(kind, defaults=defaults, machine_settings=wrong)


@KINDS
def test_a_spec_cannot_be_changed(kind: type[ComponentSpec]) -> None:
    spec = make(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"


def test_the_defaults_cannot_be_changed_through_the_spec() -> None:
    spec = make(defaults={"width": 8})
    with pytest.raises(TypeError):
        spec.defaults["width"] = 9
    assert spec.defaults == {"width": 8}


def test_the_defaults_do_not_follow_what_they_were_made_from() -> None:
    given = {"width": 8, "sizes": [1, 2]}
    spec = make(defaults=given)
    given["width"] = 9
    given["sizes"].append(3)
    assert spec.defaults == {"width": 8, "sizes": [1, 2]}


@pytest.mark.parametrize(
    ("value", "low", "high", "whole"),
    [
        (0, 0, 1, False),
        (1, 0, 1, False),
        (0.5, 0, 1, False),
        (3, 3, 3, True),
        (10**9, 1, math.inf, True),
        (-5.0, -10, 0, False),
    ],
)
def test_numbers_within_their_range_pass(
    value: float, low: float, high: float, whole: bool
) -> None:
    require_number("acme", "width", value, low, high, whole=whole)


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (-1, False),
        (11, False),
        (10.0001, False),
        (math.nan, False),
        (math.inf, False),
        (True, False),
        (None, False),
        ("5", False),
        ([5], False),
        (5.0, True),
        (True, True),
        ("5", True),
    ],
)
def test_other_numbers_are_refused_with_range_and_value(value: object, whole: bool) -> None:
    with pytest.raises(ConfigError) as raised:
        require_number("acme", "width", value, 0, 10, whole=whole)
    kind = "a whole number" if whole else "a number"
    assert str(raised.value) == f"acme: width must be {kind} in 0..10, got {value!r}"


@pytest.mark.parametrize("value", [[48, 32], (48, 32)])
def test_a_size_is_returned_as_height_and_width(value: object) -> None:
    assert require_size("acme", "input_size", value, minimum=32) == (48, 32)
    assert require_size("acme", "input_size", value, minimum=32, maximum=48) == (48, 32)


@pytest.mark.parametrize(
    "value",
    [
        48,
        None,
        "48",
        [48],
        [48, 48, 3],
        {"height": 48, "width": 48},
        [48, 31],
        [48, 1025],
        [48.0, 48],
        [True, 48],
        ["48", 48],
    ],
    ids=str,
)
def test_other_sizes_are_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="acme: input_size must be"):
        require_size("acme", "input_size", value, minimum=32)


@pytest.mark.parametrize(
    ("value", "choices"),
    [("a", ("a", "b")), (True, (True, False)), (None, (None, 1)), (1, (1, 2)), (0.5, [0.5])],
)
def test_a_choice_passes(value: object, choices: object) -> None:
    require_choice("acme", "mode", value, choices)


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        ("c", ("a", "b")),
        ("A", ("a", "b")),
        (1, (True, False)),
        (True, (1, 2)),
        (1.0, (1, 2)),
        (None, ("a",)),
        (["a"], ("a",)),
    ],
)
def test_any_other_value_is_refused_with_the_choices(value: object, choices: tuple) -> None:
    with pytest.raises(ConfigError) as raised:
        require_choice("acme", "mode", value, choices)
    listed = ", ".join(map(repr, choices))
    assert str(raised.value) == f"acme: mode must be one of {listed}, got {value!r}"

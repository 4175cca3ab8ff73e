"""config.json is strict both ways: nothing unknown gets in, nothing unreadable gets out."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emonet.config import (
    FORMAT_VERSION,
    ComponentConfig,
    Framing,
    HeadConfig,
    ModelConfig,
    NetworkConfig,
    appearance,
)
from emonet.errors import ConfigError, ConfigVersionError, EmonetError
from emonet.labels import FER2013
from emonet.storage.config_json import config_from_json, config_to_json


def network(name="resnet18_bovw", **changes):
    return NetworkConfig(
        **{
            "name": name,
            "backbone": ComponentConfig(
                name="resnet18",
                config={"width": 4, "nested": {"list": [1, 2.5, None, True, "x"]}},
                config_version=2,
                plugin="resnet18",
                distribution="emonet",
                distribution_version="0.1.0",
            ),
            "features": (ComponentConfig(name="bovw", config={"landmarks": False}),),
            "head": HeadConfig(units=(64, 32), feature_units=16, dropout=0.25),
            "subtract_mean_face": True,
            "weight": 0.5,
            **changes,
        }
    )


CONFIG = ModelConfig(
    detector=ComponentConfig(name="dlib_hog", config={"upsample": 1}),
    framing={"dlib_hog": Framing(scale=1.2, shift_y=-0.1)},
    networks=(network(), network("second", features=(), weight=1.5)),
    temperature=1.3,
    files={"second.safetensors": "0" * 64},
)


def changed(*path, to=..., where=CONFIG):
    """The text of config.json with one value replaced, or without it."""
    data = json.loads(config_to_json(where))
    inner = data
    for part in path[:-1]:
        inner = inner[part]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return json.dumps(data)


def read(text):
    return config_from_json(text, where="config.json")


def test_what_was_written_is_read_back():
    assert read(config_to_json(CONFIG)) == CONFIG
    assert read(config_to_json(CONFIG).encode()) == CONFIG


def test_written_text_is_plain_json_for_people_to_read():
    text = config_to_json(CONFIG)
    data = json.loads(text)
    assert text.endswith("}\n")
    assert data["library"] == "emonet"
    assert data["format_version"] == FORMAT_VERSION
    assert data["labels"] == list(FER2013)
    assert data["networks"][0]["head"] == {"units": [64, 32], "feature_units": 16, "dropout": 0.25}


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
LABELS = st.text(st.characters(categories=["Ll", "Nd", "Pd"]), min_size=1, max_size=64)
NUMBERS = st.floats(0.1, 10)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    labels=st.lists(LABELS, min_size=2, max_size=9, unique_by=appearance),
    names=st.lists(NAMES, min_size=1, max_size=3, unique=True),
    size=st.tuples(st.integers(8, 1024), st.integers(8, 1024)),
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS),
)
def test_every_legal_configuration_survives_the_round_trip(labels, names, size, numbers):
    scale, weight, temperature = numbers
    config = replace(
        CONFIG,
        labels=tuple(labels),
        framing={name: Framing(scale=scale) for name in names},
        networks=tuple(network(name, weight=weight, face_size=size) for name in names),
        temperature=temperature,
    )
    assert read(config_to_json(config)) == config


def test_what_has_a_default_may_be_left_out():
    detector, backbone = {"name": "dlib_hog"}, {"name": "resnet18"}
    networks = [{"name": "resnet18", "backbone": backbone}]
    config = read(json.dumps({"library": "emonet", "detector": detector, "networks": networks}))
    assert config.labels == FER2013
    assert config.framing == {}
    assert config.networks[0].face_size == (48, 48)
    assert config.networks[0].head == HeadConfig()


@pytest.mark.parametrize(
    ("path", "suggested"),
    [
        (("temprature",), "temperature"),
        (("detector", "confg"), "config"),
        (("framing", "dlib_hog", "scaling"), "scale"),
        (("networks", 0, "backbones"), "backbone"),
        (("networks", 1, "head", "drop_out"), "dropout"),
        (("networks", 0, "features", 0, "plug_in"), "plugin"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else value,
)
def test_unknown_key_is_named_with_the_nearest_one(path, suggested):
    where = ".".join(map(str, path))
    with pytest.raises(ConfigError) as caught:
        read(changed(*path, to=1))
    assert str(caught.value) == f"config.json: {where}: unknown key. Did you mean '{suggested}'?"


def test_unknown_key_that_is_near_to_none_is_named_alone():
    with pytest.raises(ConfigError) as caught:
        read(changed("zzzzzz", to=1))
    assert str(caught.value) == "config.json: zzzzzz: unknown key."


@pytest.mark.parametrize(
    "path", [("detector",), ("networks",), ("detector", "name"), ("networks", 1, "backbone")]
)
def test_missing_key_is_named(path):
    where = ".".join(map(str, path))
    with pytest.raises(ConfigError) as caught:
        read(changed(*path))
    assert str(caught.value) == f"config.json: {where}: Field required."


@pytest.mark.parametrize(
    ("path", "value", "received"),
    [
        (("temperature",), "1.0", "'1.0'"),
        (("temperature",), True, "True"),
        (("temperature",), None, "None"),
        (("labels",), "anger", "'anger'"),
        (("labels",), {"0": "anger"}, "{'0': 'anger'}"),
        (("labels",), ["anger", 3], "3"),
        (("networks",), {}, "{}"),
        (("networks", 0), "resnet18", "'resnet18'"),
        (("networks", 0, "subtract_mean_face"), 1, "1"),
        (("networks", 0, "subtract_mean_face"), "true", "'true'"),
        (("networks", 0, "weight"), "1", "'1'"),
        (("networks", 0, "head", "units"), 64, "64"),
        (("networks", 0, "head", "units"), [64.0], "64.0"),
        (("networks", 0, "backbone", "config"), [], "[]"),
        (("networks", 0, "backbone", "config_version"), "1", "'1'"),
        (("detector",), "dlib_hog", "'dlib_hog'"),
        (("networks", 0, "face_size"), 48, "48"),
        (("networks", 0, "face_size"), [48.5, 48], "48.5"),
        (("networks", 0, "face_size"), [True, 48], "True"),
        (("networks", 0, "face_size"), [48, 48, 3], "[48, 48, 3]"),
        (("framing", "dlib_hog", "scale"), "1", "'1'"),
        (("format_version",), "1", "'1'"),
        (("format_version",), 1.5, "1.5"),
        (("files",), ["second.safetensors"], "['second.safetensors']"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_value_of_the_wrong_type_is_named_and_shown(path, value, received):
    where = ".".join(map(str, path))
    with pytest.raises(ConfigError) as caught:
        read(changed(*path, to=value))
    assert str(caught.value).startswith(f"config.json: {where}")
    assert str(caught.value).endswith(f"Received: {received}")


@pytest.mark.parametrize(
    "path",
    [
        ("temperature",),
        ("networks", 0, "weight"),
        ("networks", 0, "backbone", "config", "width"),
        ("framing", "dlib_hog", "scale"),
    ],
    ids=lambda path: path[-1],
)
# JSON knows no NaN, but Python writes it; 1e999 is JSON, and infinite.
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_number_that_is_not_finite_is_refused(path, number):
    text = changed(*path, to="HERE").replace('"HERE"', number)
    with pytest.raises(ConfigError, match=r"config\.json"):
        read(text)


def test_key_that_comes_twice_is_refused():
    text = config_to_json(CONFIG).replace('"temperature"', '"temperature": 1.0, "temperature"')
    with pytest.raises(ConfigError, match="twice"):
        read(text)


def test_error_is_safe_to_print_whatever_the_file_holds():
    for text in (changed("\x1b[2J", to=1), changed("temperature", to="\x1b[2J")):
        with pytest.raises(ConfigError) as caught:
            read(text)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("written", [FORMAT_VERSION + 1, 99])
def test_newer_format_asks_for_an_upgrade(written):
    # Whatever else a newer format may hold.
    data = {"library": "emonet", "format_version": written, "brand_new": {}}
    with pytest.raises(ConfigVersionError, match=f"version {written}; .*Upgrade emonet"):
        read(json.dumps(data))


@pytest.mark.parametrize("written", [0, -1])
def test_format_that_never_was_is_refused(written):
    with pytest.raises(ConfigError, match="format_version"):
        read(changed("format_version", to=written))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "not json",
        config_to_json(CONFIG)[:300],
        b"\xff\xfe",
        b"\x89PNG\r\n\x1a\n",
        "[" * 10**5,
    ],
    ids=["empty", "brace", "words", "truncated", "utf-16", "png", "deep"],
)
def test_text_that_is_no_json_is_a_config_error(text):
    with pytest.raises(ConfigError, match=r"^config\.json is not JSON"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "3",
        '"emonet"',
        "{}",
        '{"architectures": ["BertModel"], "model_type": "bert"}',
        '{"library": "keras"}',
        changed("library"),
        changed("library", to=None),
    ],
)
def test_json_that_is_no_emonet_model_is_a_config_error(text):
    with pytest.raises(ConfigError, match=r"^config\.json is not an emonet model"):
        read(text)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("labels",), ["a"], "labels: two or more are needed, got ('a',)"),
        (("labels",), ["a", "b", "a"], "labels: names must not repeat or look alike, got"),
        (("networks",), [], "networks: "),
        (("networks", 1, "name"), "resnet18_bovw", "networks: names must not repeat"),
        (("networks", 0, "weight"), -0.5, "networks: weights must be 0 or more, with a sum"),
        (
            ("networks", 0, "face_size"),
            [0, 48],
            "face_size: sides must be 8 to 1024 pixels, got (0, 48)",
        ),
        (
            ("networks", 0, "face_size"),
            [48, 7],
            "face_size: sides must be 8 to 1024 pixels, got (48, 7)",
        ),
        (
            ("networks", 0, "face_size"),
            [-48, 48],
            "face_size: sides must be 8 to 1024 pixels, got (-48, 48)",
        ),
        (("networks", 0, "face_size"), [10**9, 48], "face_size: sides must be 8 to 1024 pixels"),
        (("temperature",), 0.0, "temperature: must be 0.1 to 100, got 0.0"),
        (("temperature",), -1.0, "temperature: must be 0.1 to 100, got -1.0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_contradiction_in_a_file_is_told_in_one_sentence(path, value, message):
    with pytest.raises(ConfigError) as caught:
        read(changed(*path, to=value))
    assert str(caught.value).startswith(f"config.json: {message}")
    # The configuration as a whole says nothing about what is wrong in it.
    assert "Received" not in str(caught.value)


def test_a_file_from_before_test_time_augmentation_has_none():
    several = replace(CONFIG, test_time_augmentation="shift")
    assert read(config_to_json(several)) == several
    older = read(changed("test_time_augmentation", where=several))
    assert older == replace(CONFIG, test_time_augmentation="none")


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(ConfigError, match="weights must be 0 or more, with a sum of"):
        replace(CONFIG, networks=(network(weight=0.0),))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a", "a")}, "labels: names must not repeat"),
        ({"labels": ()}, "labels: two or more"),
        ({"networks": ()}, "networks: .* needed"),
        ({"networks": tuple(network(f"n{i}") for i in range(1000))}, "networks: .* needed"),
        ({"networks": (network(), network())}, "names must not repeat"),
        ({"networks": (network(weight=-1.0),)}, "weights must be"),
        ({"networks": (network(weight=float("nan")),)}, "weights must be"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"test_time_augmentation": "flip"}, "test_time_augmentation: .* got 'flip'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_contradiction_in_code_is_a_config_error(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **changes)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("networks", 0, "head", "units"), [0]),
        (("networks", 0, "head", "units"), [64, -1]),
        (("networks", 0, "head", "units"), [10**9]),
        (("networks", 0, "head", "units"), [64] * 100),
        (("networks", 0, "head", "feature_units"), 0),
        (("networks", 0, "head", "dropout"), 1.5),
        (("networks", 0, "head", "dropout"), -0.1),
        (("framing", "dlib_hog", "scale"), 0.0),
        (("framing", "dlib_hog", "scale"), -1.0),
        (("networks", 0, "backbone", "config_version"), 0),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else str(value),
)
def test_number_out_of_its_range_is_refused(path, value):
    with pytest.raises(ConfigError, match=str(path[-1])):
        read(changed(*path, to=value))


@pytest.mark.parametrize(
    "label",
    [
        "a\nb",
        "\x1b[31mred",
        "nul\0",
        "tab\t",
        "del\x7f",
        "c1\x9b31m",
        "\u202eturned round",
        "line\u2028break",
        "invisible\u200b",
        "no-break\u00a0space",
        "soft\u00adhyphen",
        "private\ue000",
        "unassigned\U000e0fff",
        "",
        " ",
        "\u3164",
        "\u2800",
        "\ufe0f",
        " blank",
        "blank ",
        "x" * 65,
    ],
    ids=repr,
)
def test_label_that_would_garble_a_terminal_is_refused(label):
    with pytest.raises(ConfigError, match=r"^config\.json: labels: each must have 1 to ") as caught:
        read(changed("labels", to=["anger", label]))
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    with pytest.raises(ConfigError, match=r"^labels: each must have 1 to 64 printable "):
        replace(CONFIG, labels=("anger", label))


@pytest.mark.parametrize(
    "twin",
    ["Anger", "ANGER", "\uff41nger", "ange\u24e1", "anger\ufe0f", "an\u034fger", "anger\U000e0101"],
    ids=ascii,
)
def test_labels_that_look_alike_are_refused(twin):
    with pytest.raises(ConfigError, match="names must not repeat or look alike") as caught:
        read(changed("labels", to=["anger", "fear", twin]))
    assert str(caught.value).isascii()


def test_labels_in_any_script_are_welcome():
    labels = ["Ärger", "怒り", "خوف", "very happy 😀", "❤\ufe0f", "भय"]
    assert read(changed("labels", to=labels)).labels == tuple(labels)


BAD_NAMES = ["../evil", "a/b", "a\\b", "/etc/passwd", "A", "1a", "a.b", "a b", "a\n", "", "ä"]
BAD_NAMES += ["x" * 65, "os:system"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
@pytest.mark.parametrize(
    "path",
    [
        ("networks", 0, "name"),
        ("networks", 0, "backbone", "name"),
        ("networks", 0, "features", 0, "name"),
        ("detector", "name"),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_name_that_could_be_a_path_or_an_import_is_refused(path, name):
    with pytest.raises(ConfigError, match=r"name: String should match pattern"):
        read(changed(*path, to=name))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("../evil.safetensors", "0" * 64),
        ("/tmp/evil.safetensors", "0" * 64),
        ("evil.pkl", "0" * 64),
        ("evil.safetensors\n", "0" * 64),
        ("fine.safetensors", "0" * 63),
        ("fine.safetensors", "G" * 64),
        ("fine.safetensors", ""),
    ],
)
def test_file_name_or_digest_of_another_form_is_refused(name, digest):
    with pytest.raises(ConfigError, match=r"(?s)files\..*String should match pattern"):
        read(changed("files", to={name: digest}))


@pytest.mark.parametrize("name", ["../evil", "a b", "-r", "a;b", "x" * 65, "a/b", "https://x"])
@pytest.mark.parametrize("key", ["plugin", "distribution"])
def test_package_that_could_not_be_installed_is_refused(key, name):
    with pytest.raises(ConfigError, match=key):
        read(changed("detector", key, to=name))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("anger\n", "fear")},
        {"labels": ("x" * 65, "fear")},
        {"labels": (1, 2)},
        {"networks": (network("Über"),)},
        {"networks": (network("x" * 65),)},
        {"temperature": float("inf")},
        {"detector": ComponentConfig(name="dlib_hog", config={"upsample": float("nan")})},
    ],
    ids=["control character", "long label", "number", "name", "long name", "infinity", "nan"],
)
def test_what_could_not_be_read_back_is_never_written(changes):
    """Better now than after the training, when the folder is to be loaded."""
    with pytest.raises(ConfigError):
        config_to_json(replace(CONFIG, **changes))


def test_framing_of_an_unlisted_detector_is_that_of_the_first():
    first, second = Framing(scale=1.2), Framing(scale=0.8)
    config = replace(CONFIG, framing={"dlib_hog": first, "yunet": second})
    assert config.framing_for("yunet") == second
    assert config.framing_for("acme") == first
    assert replace(CONFIG, framing={}).framing_for("acme") == Framing()


def test_framing_is_replaced_in_a_copy():
    config = replace(CONFIG, framing={"dlib_hog": Framing(scale=1.2)})
    more = config.with_framing("yunet", Framing(scale=0.8))
    assert list(more.framing) == ["dlib_hog", "yunet"]
    assert list(config.framing) == ["dlib_hog"]


def test_face_sizes_are_those_of_the_networks_once_each_the_largest_first():
    sizes = [(48, 48), (96, 96), (48, 48)]
    networks = (network(f"n{i}", face_size=size) for i, size in enumerate(sizes))
    assert replace(CONFIG, networks=tuple(networks)).face_sizes == ((96, 96), (48, 48))


def test_network_of_faces_too_small_to_build_is_refused():
    with pytest.raises(ConfigError, match=r"sides must be 8 to 1024 pixels, got \(4, 48\)"):
        network(face_size=(4, 48))


def test_configuration_can_not_be_changed():
    with pytest.raises(FrozenInstanceError):
        CONFIG.temperature = 2.0


def test_config_errors_are_emonets_and_value_errors():
    assert issubclass(ConfigVersionError, ConfigError)
    assert issubclass(ConfigError, EmonetError)
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize("units", [256, (64.5,), ("64",)])
def test_units_that_are_no_widths_are_refused(units):
    with pytest.raises(ConfigError, match="units must be up to 4 widths"):
        HeadConfig(units=units)

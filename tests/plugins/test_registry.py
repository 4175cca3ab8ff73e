"""Discovery and catalog, with real distributions laid into a folder on sys.path."""

import json
import os
import re
import subprocess
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.plugins.conftest import Site, discover, plugin_of

import emonet
from emonet.assembly.components import with_detector
from emonet.errors import (
    ComponentNotFoundError,
    ConfigError,
    PluginConflictError,
    PluginContractError,
    PluginError,
    PluginLoadError,
    PluginRuntimeError,
    PluginVersionError,
    PluginWarning,
)
from emonet.registry.catalog import Kind, get_catalog

BUILT_IN = {"densenet", "inception", "inception_resnet_v2", "resnet18", "resnet50", "vgg"}

GOOD = """
@hookimpl
def emonet_register_backbones():
    return [BackboneSpec(name="good_net", build=build, input_size=(8, 8))]
"""

ALL_KINDS = """
import numpy as np
from emonet.plugin import Box, Detection

def build_backbone(config, *, pretrained):
    import keras
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    return keras.Model(pixels, keras.layers.Dense(config["width"])(keras.layers.Flatten()(x)))

class Mean:
    num_features = 1
    def transform(self, images):
        return images.mean(axis=(1, 2), dtype=np.float32)[:, None]
    def get_state(self):
        return {}
    def set_state(self, state):
        pass

class Corner:
    def __init__(self, config):
        self.side = config["side"]
    def detect(self, image):
        return [Detection(Box(0, 0, self.side, self.side))]

@hookimpl
def emonet_register_backbones():
    return [BackboneSpec(name="acme_net", build=build_backbone, input_size=(8, 8),
                         defaults={"width": 5})]

@hookimpl
def emonet_register_feature_extractors():
    return [FeatureExtractorSpec(name="acme_mean", build=lambda config: Mean())]

@hookimpl
def emonet_register_detectors():
    return (DetectorSpec(name="acme_corner", build=Corner, defaults={"side": 3}),)
"""

#: One spec as source, to be completed.
SPEC = "BackboneSpec(name='acme_net', build=build, input_size=(8, 8))"


def backbones(returned: str) -> str:
    """Write a hook that returns this expression."""
    return f"@hookimpl\ndef emonet_register_backbones():\n    return {returned}\n"


#: What may be wrong with a plugin: its module, the error, and what its message says.
BROKEN = {
    "import error": ("import no_such_library", PluginLoadError, "no_such_library"),
    "syntax error": ("def broken(:", PluginLoadError, "SyntaxError"),
    "exit at import": ("raise SystemExit(3)", PluginLoadError, "SystemExit: 3"),
    "exit in a hook": (backbones("exit(3)"), PluginLoadError, "SystemExit: 3"),
    "misspelt hook": (
        "@hookimpl\ndef emonet_register_backbone():\n    return []",
        PluginContractError,
        "emonet_register_backbone",
    ),
    "extra argument": (
        "@hookimpl\ndef emonet_register_backbones(catalog):\n    return []",
        PluginContractError,
        "catalog",
    ),
    "looking at it raises": (
        "def __dir__():\n    raise RuntimeError('snap')",
        PluginContractError,
        "RuntimeError: snap",
    ),
    "no hook": ("def emonet_register_backbones(): return []", PluginContractError, "@hookimpl"),
    "hook raises": (backbones("1 / 0"), PluginLoadError, "ZeroDivisionError"),
    "bad spec": (backbones(SPEC.replace("acme_net", "Acme")), PluginContractError, "'Acme'"),
    "dict": (backbones(f"{{'acme_net': {SPEC}}}"), PluginContractError, "got dict"),
    "None": (backbones("None"), PluginContractError, "None"),
    "generator": (backbones(f"(spec for spec in [{SPEC}])"), PluginContractError, "got generator"),
    "a spec alone": (backbones(SPEC), PluginContractError, "got BackboneSpec"),
    "wrong kind of spec": (
        backbones("[DetectorSpec(name='acme', build=build)]"),
        PluginContractError,
        "got a list with DetectorSpec",
    ),
    "names in place of specs": (backbones("['acme_net']"), PluginContractError, "list with str"),
    "a name twice": (backbones(f"[{SPEC}, {SPEC}]"), PluginContractError, "acme_net"),
    "a built-in's name": (
        backbones(f"[{SPEC.replace('acme_net', 'resnet50')}]"),
        PluginConflictError,
        "resnet50",
    ),
}


def test_a_plugin_is_one_module_with_one_decorated_function(site: Site) -> None:
    site.install("acme-emonet", GOOD)
    assert discover() == []
    assert {"good_net", *BUILT_IN} <= set(emonet.list_backbones())
    info = plugin_of("acme-emonet")
    assert (info.name, info.version, info.module) == ("acme", "1.2.3", "acme_emonet")
    assert (info.status, info.error) == ("ok", None)
    assert info.components["backbone"] == ("good_net",)
    assert not info.components["detector"]


def test_a_plugin_may_offer_every_kind(site: Site) -> None:
    site.install("acme-emonet", ALL_KINDS)
    assert discover() == []
    assert plugin_of("acme-emonet").components == {
        "backbone": ("acme_net",),
        "feature_extractor": ("acme_mean",),
        "detector": ("acme_corner",),
    }
    image = np.zeros((20, 20, 3), np.uint8)
    assert emonet.create_detector("acme_corner").detect(image)[0].box == emonet.Box(0, 0, 3, 3)
    larger = emonet.create_detector("acme_corner", side=9)
    assert larger.detect(image)[0].box.width == 9
    extractor = emonet.create_feature_extractor("acme_mean")
    faces = np.full((2, 48, 48), 7, np.uint8)
    np.testing.assert_array_equal(extractor.transform(faces), [[7], [7]])
    assert emonet.create_backbone("acme_net").output_shape == (None, 5)
    recognizer = emonet.EmotionRecognizer("acme_net", ["acme_mean"], detector="acme_corner")
    part = recognizer.config.networks[0].backbone
    assert (part.distribution, part.distribution_version) == ("acme-emonet", "1.2.3")


def test_records_of_plugins_are_plain_json(site: Site) -> None:
    site.install("acme-emonet", BROKEN["import error"][0])
    site.install("good-emonet", GOOD)
    discover()
    records = json.loads(json.dumps([info.to_dict() for info in emonet.list_plugins()]))
    by_distribution = {record["distribution"]: record for record in records}
    assert "no_such_library" in by_distribution["acme-emonet"]["error"]
    assert by_distribution["good-emonet"]["error"] is None
    assert by_distribution["good-emonet"]["components"]["backbone"] == ["good_net"]


def test_emonets_own_plugins_are_listed_first(site: Site) -> None:
    site.install("aaa-emonet", GOOD)
    owners = [info.distribution for info in emonet.list_plugins()]
    built_in = owners.count("emonet")
    assert owners[:built_in] == ["emonet"] * built_in
    assert "aaa-emonet" in owners[built_in:]


@pytest.mark.parametrize(("source", "error", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_disabled_and_the_rest_works(
    site: Site, source: str, error: type[PluginError], cause: str
) -> None:
    site.install("broken-emonet", source, name="broken")
    site.install("good-emonet", GOOD)
    (warning,) = discover()
    assert "'broken' of broken-emonet 1.2.3" in warning
    assert cause in warning
    assert "disabled" in warning
    assert discover() == []  # warned about once
    info = plugin_of("broken-emonet")
    assert info.status == "failed"
    assert type(info.error) is error
    assert cause in str(info.error)
    assert plugin_of("good-emonet").status == "ok"
    assert {"good_net", *BUILT_IN} <= set(emonet.list_backbones())
    assert "acme_net" not in emonet.list_backbones()
    assert emonet.create_detector("whole_image").detect(np.zeros((4, 4, 3), np.uint8))
    # A look-up in vain tells of every failed plugin: it may be the one that was meant.
    with pytest.raises(ComponentNotFoundError) as missing:
        emonet.create_backbone("acme_net")
    assert str(info.error) in str(missing.value)
    # A saved model names the package that it needs.
    if not info.components:
        with pytest.raises(error, match=re.escape(str(info.error))):
            get_catalog().get(Kind.BACKBONE, "acme_net", distribution="broken-emonet")


def test_the_cause_of_a_failure_is_chained(site: Site) -> None:
    site.install("acme-emonet", BROKEN["hook raises"][0])
    discover()
    assert isinstance(plugin_of("acme-emonet").error.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(("source", "error", "cause"), BROKEN.values(), ids=BROKEN)
def test_strict_mode_raises_the_first_failure(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    error: type[PluginError],
    cause: str,
) -> None:
    monkeypatch.setenv("EMONET_STRICT_PLUGINS", "1")
    site.install("broken-emonet", source)
    with pytest.raises(error) as raised:
        emonet.list_backbones()
    assert cause in str(raised.value)


def test_a_plugin_that_claims_a_built_ins_name_is_disabled_whole(site: Site) -> None:
    theirs = SPEC.replace("acme_net", "resnet18")
    site.install("acme-emonet", backbones(f"[{SPEC}, {theirs}]"))
    (warning,) = discover()
    assert "resnet18" in warning
    assert get_catalog().get(Kind.BACKBONE, "resnet18").plugin.distribution == "emonet"
    assert emonet.create_backbone("resnet18", width=1).output_shape == (None, 8)
    # Its other components are known, so asking for one gives the cause itself.
    with pytest.raises(PluginConflictError, match="resnet18"):
        emonet.create_backbone("acme_net")


def test_equal_names_are_no_conflict_between_kinds(site: Site) -> None:
    detector = (
        "@hookimpl\ndef emonet_register_detectors():\n"
        "    return [DetectorSpec(name='resnet18', build=build)]\n"
    )
    site.install("acme-emonet", detector)
    assert discover() == []
    assert "resnet18" in emonet.list_detectors()


def test_entry_points_of_one_name_in_two_packages_both_load(site: Site) -> None:
    site.install("one-emonet", backbones(f"[{SPEC.replace('acme_net', 'one_net')}]"), name="x")
    site.install("two-emonet", backbones(f"[{SPEC.replace('acme_net', 'two_net')}]"), name="x")
    assert discover() == []
    assert {"one_net", "two_net"} <= set(emonet.list_backbones())


def test_a_package_found_twice_on_the_path_counts_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme-emonet", GOOD, version="1.0")
    monkeypatch.syspath_prepend(tmp_path / "newer")
    Site(tmp_path / "newer").install("acme-emonet", GOOD, version="2.0")
    assert discover() == []
    assert plugin_of("acme-emonet").version == "2.0"
    assert get_catalog().get(Kind.BACKBONE, "good_net").plugin.version == "2.0"


@pytest.fixture
def rivals(site: Site) -> Site:
    """Two packages that offer one component, and others besides."""
    for name in ("one", "two"):
        own = SPEC.replace("acme_net", f"{name}_net")
        site.install(f"{name}-emonet", backbones(f"[{SPEC}, {own}]"), name=name)
    return site


def test_a_conflict_shows_only_when_the_name_is_looked_up_bare(rivals: Site) -> None:
    assert discover() == []
    assert emonet.list_backbones().count("acme_net") == 1
    catalog = get_catalog()
    assert catalog.get(Kind.BACKBONE, "one_net").plugin.distribution == "one-emonet"
    with pytest.raises(PluginConflictError, match="one-emonet, two-emonet") as raised:
        emonet.create_backbone("acme_net")
    assert "EMONET_DISABLE_PLUGINS" in str(raised.value)
    for distribution in ("one-emonet", "two-emonet"):
        found = catalog.get(Kind.BACKBONE, "acme_net", distribution=distribution)
        assert found.plugin.distribution == distribution


def test_a_detector_of_which_the_package_is_known_is_no_conflict(site: Site) -> None:
    spec = 'DetectorSpec(name="acme_eye", build=lambda config: None)'
    hook = f"@hookimpl\ndef emonet_register_detectors():\n    return [{spec}]\n"
    for name in ("one", "two"):
        site.install(f"{name}-emonet", hook, name=name)
    assert discover() == []
    config = emonet.EmotionRecognizer("resnet18").config
    saved = replace(config.detector, name="acme_eye", config={}, distribution="two-emonet")
    chosen = with_detector(replace(config, detector=saved), None, {})
    assert chosen.detector.distribution == "two-emonet"
    with pytest.raises(PluginConflictError):
        with_detector(config, "acme_eye", {})


@pytest.mark.parametrize("named", ["one", "one-emonet", "One_Emonet", " one , other"])
def test_disabling_a_plugin_resolves_the_conflict(
    rivals: Site, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("EMONET_DISABLE_PLUGINS", named)
    assert discover() == []
    assert get_catalog().get(Kind.BACKBONE, "acme_net").plugin.distribution == "two-emonet"
    assert plugin_of("one-emonet").status == "disabled"
    assert "one_net" not in emonet.list_backbones()
    assert "one_emonet" not in sys.modules


def test_a_package_may_spell_its_name_anew(site: Site) -> None:
    site.install("acme-emonet", GOOD)
    assert discover() == []
    found = get_catalog().get(Kind.BACKBONE, "good_net", distribution="Acme_emonet")
    assert found.plugin.distribution == "acme-emonet"


def test_a_disabled_plugin_may_be_broken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMONET_DISABLE_PLUGINS", "acme")
    site.install("acme-emonet", BROKEN["exit at import"][0])
    assert discover() == []
    assert plugin_of("acme-emonet").error is None


def test_a_failed_plugin_is_not_blamed_for_another_packages_component(site: Site) -> None:
    source = GOOD + "raise ImportError('no_such_library')"
    site.install("broken-emonet", source, name="broken")
    discover()
    with pytest.raises(ComponentNotFoundError, match="'other-emonet'; install it only if"):
        get_catalog().get(Kind.BACKBONE, "good_net", distribution="other-emonet")
    lengths = set()
    for _ in range(2):
        with pytest.raises(PluginLoadError, match="no_such_library") as raised:
            get_catalog().get(Kind.BACKBONE, "good_net", distribution="broken-emonet")
        lengths.add(len(list(traceback.walk_tb(raised.tb))))
    assert len(lengths) == 1


def test_what_a_saved_model_needs_from_another_package_is_named(site: Site) -> None:
    site.install("acme-emonet", GOOD)
    with pytest.raises(ComponentNotFoundError, match=r"'other-emonet'.*'acme-emonet'"):
        get_catalog().get(Kind.BACKBONE, "good_net", distribution="other-emonet")
    with pytest.raises(ComponentNotFoundError, match="'other-emonet'; install it only if"):
        get_catalog().get(Kind.BACKBONE, "other_net", distribution="other-emonet")


@pytest.mark.parametrize(
    ("create", "name", "near", "others"),
    [
        (emonet.create_backbone, "resnet5", "resnet50", BUILT_IN),
        (emonet.create_feature_extractor, "bow", "bovw", {"bovw"}),
        (emonet.create_detector, "dlib-hog", "dlib_hog", {"yunet", "whole_image"}),
    ],
)
def test_an_unknown_name_suggests_the_nearest_and_lists_the_installed(
    create, name: str, near: str, others: set[str]
) -> None:
    with pytest.raises(ComponentNotFoundError) as raised:
        create(name)
    assert repr(name) in str(raised.value)
    assert f"Did you mean {near!r}?" in str(raised.value)
    assert all(other in str(raised.value) for other in others)


def test_nothing_is_suggested_for_a_name_like_no_other() -> None:
    with pytest.raises(ComponentNotFoundError) as raised:
        emonet.create_backbone("zzz")
    assert "Did you mean" not in str(raised.value)


COUNTING = """
import time
calls = []

@hookimpl
def emonet_register_backbones():
    calls.append(1)
    time.sleep(0.05)
    return [BackboneSpec(name="acme_net", build=build, input_size=(8, 8))]
"""


def test_hooks_run_at_the_first_look_up_and_once(site: Site) -> None:
    module = site.install("acme-emonet", COUNTING)
    assert module not in sys.modules
    for _ in range(3):
        emonet.list_detectors()
        emonet.list_plugins()
        get_catalog().get(Kind.BACKBONE, "acme_net")
    assert len(sys.modules[module].calls) == 1


def test_hooks_run_once_when_many_threads_look_up_at_once(site: Site) -> None:
    module = site.install("acme-emonet", COUNTING)
    start = threading.Barrier(8)

    def look_up(_: int) -> list[str]:
        start.wait()
        return emonet.list_backbones()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(look_up, range(8)))
    assert len(sys.modules[module].calls) == 1
    assert all(answer == answers[0] and "acme_net" in answer for answer in answers)


BUILDING = """
from emonet.errors import ConfigError

def build_net(config, *, pretrained):
    if config["fail"] == "config":
        raise ConfigError("acme_net: fail must not be 'config'")
    received.append((config, pretrained))
    config["sizes"].append(0)
    return {}[config["fail"]]

received = []

@hookimpl
def emonet_register_backbones():
    return [BackboneSpec(name="acme_net", build=build_net, input_size=(8, 8),
                         defaults={"fail": "key", "sizes": [1, 2]})]
"""


def test_an_error_while_building_names_plugin_distribution_and_version(site: Site) -> None:
    site.install("acme-emonet", BUILDING)
    with pytest.raises(PluginRuntimeError) as raised:
        emonet.create_backbone("acme_net")
    assert "plugin 'acme' of acme-emonet 1.2.3" in str(raised.value)
    assert "KeyError: 'key'" in str(raised.value)
    assert isinstance(raised.value.__cause__, KeyError)


def test_emonets_own_errors_pass_from_a_build_as_they_are(site: Site) -> None:
    site.install("acme-emonet", BUILDING)
    with pytest.raises(ConfigError, match="fail must not be 'config'"):
        emonet.create_backbone("acme_net", fail="config")


def test_a_build_gets_the_complete_configuration(site: Site) -> None:
    module = site.install("acme-emonet", BUILDING)
    with pytest.raises(PluginRuntimeError):
        emonet.create_backbone("acme_net", pretrained=True, fail="other")
    ((config, pretrained),) = sys.modules[module].received
    assert set(config) == {"fail", "sizes"}
    assert config["fail"] == "other"
    assert pretrained is True


def test_a_build_cannot_change_the_defaults(site: Site) -> None:
    module = site.install("acme-emonet", BUILDING)
    for _ in range(2):
        with pytest.raises(PluginRuntimeError):
            emonet.create_backbone("acme_net")
    sizes = [config["sizes"] for config, _ in sys.modules[module].received]
    assert sizes == [[1, 2, 0], [1, 2, 0]]


def test_an_unknown_setting_suggests_the_nearest_and_lists_all(site: Site) -> None:
    site.install("acme-emonet", BUILDING)
    with pytest.raises(ConfigError) as raised:
        emonet.create_backbone("acme_net", size=[3])
    assert "acme_net has no setting 'size'. Did you mean 'sizes'?" in str(raised.value)
    assert "fail, sizes" in str(raised.value)


def upgrading(upgrade: str) -> str:
    """Write a plugin whose component has config version 3 and this upgrade."""
    return (
        "from emonet.errors import PluginVersionError\n"
        f"def upgrade(version, config):\n    {upgrade}\n"
        "@hookimpl\ndef emonet_register_backbones():\n"
        "    return [\n"
        "        BackboneSpec(name='acme_net', build=build, input_size=(8, 8), upgrade=upgrade,\n"
        "                     config_version=3, defaults={'width': 8, 'depth': 2}),\n"
        "        BackboneSpec(name='stuck_net', build=build, input_size=(8, 8),\n"
        "                     config_version=3),\n"
        "    ]\n"
    )


def upgraded(name: str, version: int, config: dict) -> dict:
    catalog = get_catalog()
    return catalog.get(Kind.BACKBONE, name).upgrade(version, config)


def test_an_older_configuration_is_upgraded_and_completed(site: Site) -> None:
    site.install("acme-emonet", upgrading("return {'width': config['channels'] * version}"))
    saved = {"channels": 4}
    assert upgraded("acme_net", 2, saved) == {"width": 8, "depth": 2}
    assert saved == {"channels": 4}


def test_a_current_configuration_is_not_upgraded(site: Site) -> None:
    site.install("acme-emonet", upgrading("raise AssertionError"))
    assert upgraded("acme_net", 3, {"width": 9}) == {"width": 9, "depth": 2}


@pytest.mark.parametrize(
    ("name", "version", "advice"),
    [("acme_net", 4, "Upgrade the plugin"), ("stuck_net", 2, "older release of the plugin")],
    ids=["newer than the plugin", "older without an upgrade"],
)
def test_a_configuration_that_the_plugin_cannot_read_is_refused(
    site: Site, name: str, version: int, advice: str
) -> None:
    site.install("acme-emonet", upgrading("return config"))
    with pytest.raises(PluginVersionError, match=f"config version {version}.*{advice}"):
        upgraded(name, version, {})


@pytest.mark.parametrize(
    ("upgrade", "error", "message"),
    [
        ("return config['gone']", PluginRuntimeError, "'acme' of acme-emonet 1.2.3.*KeyError"),
        ("raise PluginVersionError('1 is too old')", PluginVersionError, "1 is too old"),
        ("return None", PluginContractError, "acme_net"),
        ("return {'channels': 4}", ConfigError, "no setting 'channels'"),
    ],
)
def test_an_upgrade_that_fails_says_why(
    site: Site, upgrade: str, error: type[Exception], message: str
) -> None:
    site.install("acme-emonet", upgrading(upgrade))
    with pytest.raises(error, match=message):
        upgraded("acme_net", 1, {})


def test_where_warnings_are_errors_the_catalog_is_there_at_the_next_call(site: Site) -> None:
    site.install("broken-emonet", BROKEN["import error"][0])
    site.install("good-emonet", GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning, match="no_such_library"):
            emonet.list_backbones()
        assert {"good_net", *BUILT_IN} <= set(emonet.list_backbones())


@pytest.mark.parametrize(
    "files",
    [
        {"METADATA": "Name: odd\nVersion: 1\n", "entry_points": "[emonet]\nno equals sign\n"},
        {"METADATA": "Name: odd\nVersion: 1\n", "entry_points": "[emonet]\nodd = not a module\n"},
        {"METADATA": "Name: odd\nVersion: 1\n", "entry_points": "[emonet]\nodd = gone_module\n"},
        {"entry_points": "[emonet]\nodd = gone_module\n"},
    ],
    ids=["malformed entry points", "impossible module", "missing module", "without metadata"],
)
def test_a_damaged_installation_does_no_harm_to_others(site: Site, files: dict[str, str]) -> None:
    site.install("good-emonet", GOOD)
    site.add_metadata("odd", **files)
    discover()
    assert {"good_net", *BUILT_IN} <= set(emonet.list_backbones())
    assert json.dumps([info.to_dict() for info in emonet.list_plugins()])


def test_a_plugin_that_looks_components_up_while_it_loads_hangs_nobody(
    site: Site, tmp_path: Path
) -> None:
    site.install("acme-emonet", "import emonet\nemonet.list_backbones()\n")
    site.install("good-emonet", GOOD)
    code = "import emonet; print(emonet.list_backbones())"
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "good_net" in finished.stdout
    assert "resnet18" in finished.stdout

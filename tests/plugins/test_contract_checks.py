"""emonet.testing finds what is wrong with a component, and nothing with a sound one."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.plugins.conftest import Site
from tests.plugins.sources import backbone, detector, extractor

from emonet.errors import ComponentNotFoundError, PluginError
from emonet.testing import backbone_checks, detector_checks, feature_extractor_checks

UNSTABLE_NAME = """
import itertools
letters = itertools.cycle("abcdefgh")
"""

#: A fault, and the only check that has to find it.
FAULTY_BACKBONES = {
    "is_deterministic": backbone(
        "x = layers.Lambda(lambda t: t * keras.random.uniform((1,)))(x)"
    ),
    "tells_images_apart": backbone("x = layers.Rescaling(0.0)(x)"),
    "gives_finite_features": backbone("x = layers.Lambda(keras.ops.log)(x)"),
    "treats_each_image_alone": backbone("x = x - keras.ops.mean(x, axis=0, keepdims=True)"),
    "takes_rgb_of_its_input_size": backbone("", spec="defaults={'input_size': [16, 16]}"),
    "reads_only_its_settings": backbone("config.get('width', 3)"),
    "has_defaults_that_json_keeps": backbone("", spec="defaults={'sizes': (1, 2)}"),
    "registers_without_heavy_imports": backbone("", before="import scipy"),
    "builds_without_files_or_network": backbone("open(__file__ + '.weights', 'a').close()"),
    "names_its_weights_alike": backbone(
        "x = layers.Dense(2, name='dense' + next(letters))(x)", before=UNSTABLE_NAME
    ),
    "follows_the_seed": backbone("x = layers.Dense(2, bias_initializer=lambda *a, **k: "
                                 "np.random.default_rng().normal(size=2))(x)"),
    "takes_its_weights_back": backbone(
        "x = layers.Lambda(lambda t, n=len(built): t * n)(layers.Dense(2)(x)); built.append(x)",
        before="built = []",
    ),
}  # fmt: skip

FAULTY_EXTRACTORS = {
    "gives_finite_vectors": extractor("return vectors.astype(np.float64)"),
    "takes_no_faces": extractor("return vectors / len(images[:1]) if images.shape[0] else None"),
    "takes_faces_of_another_size": extractor("return vectors[:, : 96 // images.shape[1]]"),
    "treats_each_face_alone": extractor("return vectors + len(images)"),
    "is_deterministic": extractor("return vectors + np.float32(np.random.default_rng().random())"),
    "tells_faces_apart": extractor("return vectors * 0"),
    "leaves_its_input_alone": extractor(
        "images.flags.writeable = True\n        images[:] = 0\n        return vectors"
    ),
    "tells_its_parts": extractor(
        "return vectors",
        members="def parts(self, vector):\n"
                "        return 2 * [FeaturePart('eye', slice(0, 1), (0, 0, 1, 1))]",
        before="from emonet.plugin import FeaturePart",
    ),
    "takes_its_state_back": extractor(
        "return vectors", members="def get_state(self):\n        return {'mean': np.array('a')}"
    ),
    "reads_only_its_settings": extractor("return vectors").replace(
        "return Acme()", "config.get('grid')\n    return Acme()"
    ),
    "has_defaults_that_json_keeps": extractor("return vectors", spec="defaults={'a': (1, 2)}"),
    "registers_without_heavy_imports": extractor("return vectors", before="import scipy"),
}  # fmt: skip

FOUND = "return [Detection(whole)]"

FAULTY_DETECTORS = {
    "finds_a_face": detector("return [Detection(Box(0, 0, 1, 1))]"),
    "takes_images_without_a_face": detector(
        "return [Detection(whole, score=float(1 / image.std()) if width == 160 else 1.0)]"
    ),
    "takes_images_of_any_size": detector("image[1, 1]\n        return [Detection(whole)]"),
    "is_deterministic": detector("return [Detection(whole, score=float(self.calls))]"),
    "gives_landmarks_as_points": detector("return [Detection(whole, landmarks=[[1, 2]])]"),
    "leaves_its_input_alone": detector(
        "if image.base.flags.writeable:\n            image.flags.writeable = True\n"
        "            image[0] = 7\n        return [Detection(whole)]"
    ),
    "reads_only_its_settings": detector(FOUND).replace(
        "return Acme()", "config.get('grid')\n    return Acme()"
    ),
    "has_defaults_that_json_keeps": detector(FOUND, spec="defaults={'a': ()}"),
    "registers_without_heavy_imports": detector(FOUND, before="import scipy"),
}  # fmt: skip

CHECKS = {
    "backbone": (backbone_checks, backbone(""), FAULTY_BACKBONES),
    "extractor": (feature_extractor_checks, extractor("return vectors"), FAULTY_EXTRACTORS),
    "detector": (detector_checks, detector(FOUND), FAULTY_DETECTORS),
}


def rules_broken(checks: Callable[[str], list]) -> dict[str, str]:
    """Run all checks; return the messages of those that fail, by rule."""
    broken = {}
    for check in checks("acme"):
        try:
            check()
        except PluginError as error:
            broken[check.rule.__name__] = str(error)
    return broken


@pytest.mark.parametrize("kind", CHECKS)
def test_a_sound_component_passes_every_check(site: Site, kind: str) -> None:
    checks, sound, _ = CHECKS[kind]
    site.install("acme-emonet", sound)
    assert rules_broken(checks) == {}


@pytest.mark.parametrize(
    ("kind", "rule"), [(kind, rule) for kind, (_, _, faulty) in CHECKS.items() for rule in faulty]
)
def test_each_fault_is_found_by_its_check(site: Site, kind: str, rule: str) -> None:
    checks, _, faulty = CHECKS[kind]
    site.install("acme-emonet", faulty[rule])
    broken = rules_broken(checks)
    assert "'acme' (plugin 'acme' of acme-emonet 1.2.3)" in broken[rule]


@pytest.mark.parametrize("kind", CHECKS)
def test_every_check_has_a_fault_that_it_finds(kind: str) -> None:
    checks, _, faulty = CHECKS[kind]
    rules = {check.rule.__name__ for check in checks("acme")}
    # The registry refuses unknown settings for everybody; a backbone that no network takes is
    # none that the registry lets pass.
    assert rules - set(faulty) <= {"refuses_unknown_settings", "works_in_a_network"}


def test_checks_of_what_is_not_installed_say_so_when_they_run() -> None:
    check, *_ = backbone_checks("not_there")
    with pytest.raises(ComponentNotFoundError, match="not_there"):
        check()


def test_the_checks_can_be_listed_without_pytest_or_anything_heavy() -> None:
    code = (
        "import sys\nfrom emonet.testing import backbone_checks\nassert backbone_checks('acme')\n"
        "print({'pytest', 'keras', 'tensorflow', 'cv2', 'skimage'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    ).stdout
    assert printed == "set()\n"


def test_checks_are_named_for_reports() -> None:
    names = [str(check) for check in detector_checks("whole_image")]
    assert "whole_image-is_deterministic" in names
    assert len(set(names)) == len(names)

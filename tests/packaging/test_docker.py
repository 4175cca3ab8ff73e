"""The files that run the HTTP service in Docker and Kubernetes, checked without a daemon."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main
import yaml

from emonet.cli.app import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
OPTIONS = {
    option
    for parameter in typer.main.get_command(app).commands["serve"].params
    for option in parameter.opts
}


def test_the_dockerfile_passes_the_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_compose_file_follows_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, ROOT / "docker" / "compose.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def manifest() -> dict:
    """Return the Kubernetes manifest of the page on serving."""
    page = (ROOT / "docs" / "how-to" / "serve.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return yaml.safe_load(block)


def test_the_manifest_of_the_page_is_of_kubernetes() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="needs emonet[tools]")
    found = manifest()
    assert kubernetes.validate(found, "1.31", strict=True) == "1.31"
    found["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes.ValidationError, match="container"):
        kubernetes.validate(found, "1.31", strict=True)


def test_the_manifest_of_the_page_has_the_options_and_endpoints_that_it_uses() -> None:
    (container,) = manifest()["spec"]["template"]["spec"]["containers"]
    assert set(container["args"][::2]) <= OPTIONS
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_its_command_has_the_options_that_it_uses() -> None:
    text = DOCKERFILE.read_text()
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    used = {*re.findall(r'"(--[a-z-]+)"', text), *compose["services"]["emonet"]["command"][::2]}
    assert "--host" in used
    assert used <= OPTIONS


def test_the_service_may_write_nothing_and_is_not_root() -> None:
    (service,) = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert re.search(r"^USER [1-9]", DOCKERFILE.read_text(), re.MULTILINE)


def test_the_build_gets_what_the_wheel_needs() -> None:
    kept = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    needed = ["pyproject.toml", project["project"]["readme"], *wheel]
    needed += project["project"]["license-files"]
    assert {f"!{path.split('/')[0]}" for path in needed} <= set(kept)
    assert kept[1] == "*"

"""Everything that is checked: ``nox`` runs the sessions that CI runs, ``nox -s NAME`` one."""

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "package", "docs"]

PYTHON_FOLDERS = ("src", "plugins", "tests", "benchmarks", "docs", "examples", "noxfile.py")


@nox.session
def lint(session):
    """Style, with ruff."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", *PYTHON_FOLDERS)
    session.run("ruff", "format", "--check", *PYTHON_FOLDERS)


@nox.session
def types(session):
    """Types of src and plugins, with mypy in strict mode."""
    session.install(".[dev]")
    session.run("mypy")


@nox.session
def tests(session):
    """The fast tests and the small benchmarks; arguments go to the former's pytest."""
    session.install(".[dev]")
    processes = str(min(os.cpu_count() or 1, 4))
    session.run("pytest", "-n", processes, "--dist", "loadfile", *session.posargs)
    session.run("pytest", "tests/integration/test_benchmarks.py", "-m", "slow")


@nox.session
def package(session):
    """The built wheel in a clean environment."""
    session.install(".[dev]")
    session.run("pytest", "tests/packaging", "-m", "slow", *session.posargs)


@nox.session
def slow(session):
    """Every test that takes minutes."""
    session.install(".[dev]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def jax(session):
    """Training and prediction with Keras on JAX."""
    session.install(".[dev]", "jax>=0.5")
    session.env["KERAS_BACKEND"] = "jax"
    session.run("pytest", "tests/integration/test_jax.py", "-m", "jax", *session.posargs)


@nox.session
def docs(session):
    """The site, into site/, and its pages checked; 'nox -s docs -- serve' shows it."""
    session.install(".[dev,docs]")
    session.run("mkdocs", *(session.posargs or ("build", "--strict")))
    if not session.posargs:
        session.run("pytest", "tests/docs/test_site.py", "-m", "slow")


@nox.session
def benchmarks(session):
    """The benchmark suite; 'nox -s benchmarks -- run --quick' is small."""
    session.install(".[dev]")
    whole = ("run", "--out", "benchmarks.json")
    session.run("python", "-m", "benchmarks", *(session.posargs or whole))


@nox.session
def peers(session):
    """Other libraries, each in an environment of its own, beside emonet in one run."""
    session.install(".[dev]")
    folder = str(Path(session.cache_dir) / "peers")
    session.run("python", "-m", "benchmarks", "install-peers", folder)
    session.run("python", "-m", "benchmarks", "run", "peers", "--peers", folder, *session.posargs)

"""Run the project's checks: ``nox`` runs the sessions of CI, ``nox -s NAME`` one session."""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "package", "docs"]

PYTHON_FOLDERS = ("src", "plugins", "tests", "benchmarks", "docs", "examples", "noxfile.py")


@nox.session
def lint(session):
    """Check the style with ruff."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", *PYTHON_FOLDERS)
    session.run("ruff", "format", "--check", *PYTHON_FOLDERS)


@nox.session
def types(session):
    """Check the types of src and plugins with mypy in strict mode."""
    session.install(".[dev]")
    session.run("mypy")


@nox.session
def tests(session):
    """Run the fast tests, with arguments for pytest, and the small benchmarks."""
    session.install(".[dev]")
    processes = str(min(os.cpu_count() or 1, 4))
    session.run("pytest", "-n", processes, "--dist", "loadfile", *session.posargs)
    session.run("pytest", "tests/integration/test_benchmarks.py", "-m", "slow")


@nox.session
def package(session):
    """Test the built wheel in a clean environment."""
    session.install(".[dev]")
    session.run("pytest", "tests/packaging", "-m", "slow", *session.posargs)


@nox.session
def slow(session):
    """Run the slow tests, which take minutes; those of the demo need Chromium."""
    session.install(".[dev]", "playwright")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def tools(session):
    """Hand results, exports and programs to other tools: supervision, OpenVINO, PyInstaller, ..."""
    session.install(".[dev,tools]")
    session.run(
        *("pytest", "-m", "slow or not slow", "tests/integration/test_exported_runtimes.py"),
        *("tests/integration/test_integrations.py", "tests/integration/test_hugging_face.py"),
        *("tests/packaging/test_freezing.py", "tests/packaging/test_docker.py", *session.posargs),
        *("tests/integration/test_predict.py", "tests/packaging/test_freezing.py"),
        *session.posargs,
    )


@nox.session
def labelling(session):
    """Hand results to FiftyOne and Label Studio, which need older releases of some packages."""
    session.install(".[test,labelling]")
    session.run("pytest", "tests/integration/test_integrations.py", *session.posargs)


@nox.session
def jax(session):
    """Train and predict with Keras on JAX, without TensorFlow."""
    session.install(".[test,jax]")
    session.run("python", "-c", "import importlib.util as u; assert not u.find_spec('tensorflow')")
    session.env["KERAS_BACKEND"] = "jax"
    files = ("test_jax.py", "test_jax_steps.py", "test_devices.py")
    session.run(
        "pytest", *(f"tests/integration/{file}" for file in files), "-m", "jax", *session.posargs
    )
    session.run(
        "python",
        "-m",
        "benchmarks",
        "run",
        "--quick",
        "--out",
        f"{session.create_tmp()}/quick.json",
    )


@nox.session
def docs(session):
    """Build the site in site/ and check its pages; 'nox -s docs -- serve' shows the site."""
    session.install(".[dev,docs]", "playwright")
    if shutil.which("npm"):
        session.run("npm", "ci", "--ignore-scripts", external=True)
    else:
        session.warn("npm is missing: the live page of the site will not work")
    session.run("mkdocs", *(session.posargs or ("build", "--strict")))
    if not session.posargs:
        session.run("pytest", "tests/docs/test_site.py", "tests/docs/test_browser.py", "-m", "slow")


@nox.session(name="docs-look")
def docs_look(session):
    """Look at every page in Chromium with axe, and run the notebooks: a quarter of an hour."""
    session.install(".[dev,docs]", "playwright")
    session.run("npm", "ci", "--ignore-scripts", external=True)
    files = ("tests/docs/test_look.py", "tests/docs/test_notebooks.py")
    session.run("pytest", *files, "-m", "slow")


@nox.session(name="docs-next")
def docs_next(session):
    """Build the site with Zensical, MkDocs' successor; CONTRIBUTING says what it lacks."""
    session.install(".[dev,docs]", "zensical")
    session.run("zensical", *(session.posargs or ("build", "--clean")))


@nox.session
def benchmarks(session):
    """Run the benchmark suite; 'nox -s benchmarks -- run --quick' is a small run."""
    session.install(".[dev]")
    whole = ("run", "--out", "benchmarks.json")
    session.run("python", "-m", "benchmarks", *(session.posargs or whole))


@nox.session
def peers(session):
    """Compare emonet with other libraries, each in its own environment."""
    session.install(".[dev]")
    folder = str(Path(session.cache_dir) / "peers")
    session.run("python", "-m", "benchmarks", "install-peers", folder)
    session.run("python", "-m", "benchmarks", "run", "peers", "--peers", folder, *session.posargs)

"""Check for optional packages, and name the extra to install."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from emonet.errors import MissingDependencyError

#: Import names of the packages that each task needs. ``keras`` also needs its backend.
EXTRAS = {
    "train": ("keras", "sklearn", "scipy"),
    "export": ("keras", "tensorflow", "tf2onnx"),
    "evaluate": ("sklearn", "scipy"),
    "keras": ("keras",),
    "plots": ("matplotlib",),
    "video": ("scipy",),
    "films": ("av",),
    "tables": ("pyarrow",),
    "pandas": ("pandas",),
    "polars": ("polars",),
    "demo": ("gradio", "av", "scipy"),
    "serve": ("fastapi", "fastapi_offline", "prometheus_client", "python_multipart", "uvicorn"),
    "ray": ("ray", "pyarrow", "pandas"),
    "supervision": ("supervision",),
    "fiftyone": ("fiftyone",),
}
#: The extra for a task, if it has another name than the task.
INSTALL = {"export": "train", "films": "video", "evaluate": "train", "keras": "train"}
BACKENDS = ("tensorflow", "jax", "torch")
#: Packages that no extra has.
NO_EXTRA = {"fiftyone", "pandas", "polars", "supervision", "torch"}


def require(task: str, purpose: str) -> None:
    """Raise MissingDependencyError if a task's packages are not installed; import nothing.

    ``purpose`` is the subject of the message, for example ``"Training"``.
    """
    modules, extra, backend = list(EXTRAS[task]), INSTALL.get(task, task), keras_backend()
    # Keras itself reports a backend that does not exist.
    if "keras" in modules and backend in BACKENDS:
        modules.append(backend)
    if missing := sorted({name for name in modules if not _installed(name)}):
        if backend == "jax" and "tensorflow" not in missing:
            extra = "jax"
        package = " ".join(missing) if set(missing) <= NO_EXTRA else f"'emonet[{extra}]'"
        raise MissingDependencyError(
            f"{purpose} needs {', '.join(missing)} (not installed). Run: pip install {package}"
        )


def keras_backend() -> str:
    """Return the backend that Keras will use: ``tensorflow``, ``jax`` or ``torch``."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        settings = json.loads((Path(home) / "keras.json").read_text(encoding="utf-8"))
        return str(settings.get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a finder blocks it, or the package is partly removed
        return False

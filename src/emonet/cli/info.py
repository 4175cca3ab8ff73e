"""``emonet info``: versions, devices and plugins for a bug report."""

import json
import os
import platform
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from emonet.cli.options import AsJson
from emonet.errors import PluginError, PluginWarning
from emonet.plugin import usable_cores
from emonet.registry import list_plugins
from emonet.storage.sources import bundled_models
from emonet.support.versions import installed

#: Import name of each library; several packages may provide one library.
LIBRARIES = {
    "emonet": "emonet",
    "numpy": "numpy",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "torch": "torch",
    "onnxruntime": "onnxruntime",
    "opencv": "cv2",
    "dlib": "_dlib_pybind11",
}
VARIABLES = (
    *("EMONET_", "HF_", "KERAS_", "CUDA_", "XLA_", "OMP_"),
    *("TF_CPP_", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_NUM_", "TF_USE_", "TF_XLA_"),
)
SECRET = re.compile("TOKEN|KEY|SECRET|PASSWORD")
TIMEOUT_SECONDS = 120

#: A broken TensorFlow may crash its process, so this code runs in another process.
KERAS_CODE = """
import json, keras
backend = keras.backend.backend()
devices = []
if backend == "tensorflow":
    import tensorflow as tf
    for device in tf.config.list_physical_devices():
        name = tf.config.experimental.get_device_details(device).get("device_name", device.name)
        devices.append({"kind": device.device_type, "name": name})
elif backend == "jax":
    import jax
    devices = [{"kind": d.platform.upper(), "name": d.device_kind} for d in jax.devices()]
elif backend == "torch":
    import torch
    devices = [{"kind": "CPU", "name": "cpu"}] + [
        {"kind": "GPU", "name": torch.cuda.get_device_name(index)}
        for index in range(torch.cuda.device_count())
    ]
print(json.dumps({"backend": backend, "devices": devices}))
"""
ONNXRUNTIME_CODE = """
import json, os
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime
print(json.dumps({"providers": onnxruntime.get_available_providers()}))
"""


def info(as_json: AsJson = False) -> None:
    """Print versions, devices and plugins for a bug report."""
    facts = gather()
    if as_json:
        print(json.dumps(facts))
    else:
        print("\n".join(_lines(facts)))


def gather() -> dict[str, Any]:
    """Return all facts as plain JSON values; a broken library gives its error instead."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return {
        "versions": installed(LIBRARIES),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "keras": _run(KERAS_CODE),
        "onnxruntime": _run(ONNXRUNTIME_CODE),
        "plugins": _plugins(),
        "bundled_models": bundled_models(),
        "hub_cache": HF_HUB_CACHE,
        "environment": _environment(),
    }


def _run(code: str) -> dict[str, Any]:
    """Run code in another process; return the facts that it prints, or its error."""
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter and code)
            [sys.executable, "-P", "-c", code],
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TIMEOUT_SECONDS} s"}
    except (IndexError, ValueError):
        lines = done.stderr.strip().splitlines() or ["no error message"]
        return {"error": f"process ended with status {done.returncode}: {lines[-1]}"}
    return facts


def _plugins() -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # errors are part of the facts
        try:
            return [plugin.to_dict() for plugin in list_plugins()]
        except PluginError as error:  # EMONET_STRICT_PLUGINS is set
            return [{"error": str(error)}]


def _processor() -> str:
    """Return the processor's model; on Linux, only /proc/cpuinfo has it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return model[1] if model else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):  # not on this system
        return None


def _environment() -> dict[str, str]:
    """Return the environment variables that matter, without secrets."""
    return {
        name: "(set)" if SECRET.search(name) else re.sub("//[^/@]*@", "//(set)@", value)
        for name, value in sorted(os.environ.items())
        if name.startswith(VARIABLES)
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts as lines of text."""
    keras, onnxruntime = facts["keras"], facts["onnxruntime"]
    lines = [f"{name} {number or 'not installed'}" for name, number in facts["versions"].items()]
    lines += [
        f"Python {facts['python']}, {facts['system']}",
        f"processor: {facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB",
    ]
    if "error" in keras:
        lines.append(f"Keras does not work: {keras['error']}")
    else:
        devices = ", ".join(f"{part['kind']} {part['name']}" for part in keras["devices"])
        lines.append(f"Keras backend {keras['backend']}, devices: {devices}")
    if "error" in onnxruntime:
        lines.append(f"onnxruntime does not work: {onnxruntime['error']}")
    else:
        lines.append(f"onnxruntime providers: {', '.join(onnxruntime['providers'])}")
    for plugin in facts["plugins"]:
        if "name" not in plugin:
            lines.append(f"plugins do not work: {plugin['error']}")
            continue
        state = plugin["error"] or plugin["status"]
        origin = f"{plugin['distribution']} {plugin['version']}"
        lines.append(f"plugin {plugin['name']} ({origin}): {state}")
    lines += [
        f"bundled models: {', '.join(facts['bundled_models'])}",
        f"Hub cache: {facts['hub_cache']}",
    ]
    return lines + [f"{name}={value}" for name, value in facts["environment"].items()]

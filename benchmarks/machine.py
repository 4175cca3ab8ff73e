"""Describe the machine: the output of ``emonet info`` and the load."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime


def machine(**environment: str) -> dict:
    """Return the header of a results file; environment variables may choose Keras' backend."""
    # Read the load first: ``emonet info`` adds to it. Windows has no getloadavg.
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    asked = subprocess.run(
        [sys.executable, "-m", "emonet", "info", "--json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": load,
        **json.loads(asked.stdout),
    }


def has_gpu(header: dict) -> bool:
    """Return whether Keras' backend sees a GPU."""
    return any(device["kind"] == "GPU" for device in header["keras"].get("devices", ()))

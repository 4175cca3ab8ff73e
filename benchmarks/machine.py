"""Where results come from: what ``emonet info`` says, and how busy the machine is."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime


def machine() -> dict:
    """Return the header of a results file."""
    # Before the question itself makes some; Windows does not tell.
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    asked = subprocess.run(
        [sys.executable, "-m", "emonet", "info", "--json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": load,
        **json.loads(asked.stdout),
    }


def has_gpu(header: dict) -> bool:
    """Tell whether Keras' backend sees a GPU."""
    return any(device["kind"] == "GPU" for device in header["keras"].get("devices", ()))

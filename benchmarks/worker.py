"""Measure tasks from standard input and write one line of JSON for each."""

import importlib
import json
import os
import sys

from benchmarks.options import Options
from benchmarks.processes import OUT_OF_MEMORY

#: Libraries' messages when memory runs out; the last is oneDNN's.
SIGNS = (
    "resource_exhausted",
    "resourceexhausted",
    "out of memory",
    "out_of_memory",
    "oom when",
    "could not execute a primitive",
)


def main() -> None:
    """Measure each task of the request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print; keep stdout for answers
    request = json.load(sys.stdin)
    options = Options.from_json(request["options"])
    part = importlib.import_module(request["part"])
    for task in request["tasks"]:
        try:
            row = task | part.measure(task, options)
        except Exception as error:
            # A component may raise any exception; measure the other rows anyway.
            if is_out_of_memory(error):
                print(f"out of memory: {error}", file=sys.stderr)
                sys.exit(OUT_OF_MEMORY)
            row = task | {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(row), file=answers, flush=True)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether a library ran out of the memory of the machine or the device."""
    message = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(sign in message for sign in SIGNS)


if __name__ == "__main__":
    main()

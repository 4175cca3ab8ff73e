"""The process that measures: tasks come on standard input, a line of JSON leaves for each."""

import importlib
import json
import os
import sys

from benchmarks.options import Options
from benchmarks.processes import OUT_OF_MEMORY

#: How libraries say that memory ran out; the last is oneDNN's way.
SIGNS = (
    "resource_exhausted",
    "resourceexhausted",
    "out of memory",
    "out_of_memory",
    "oom when",
    "could not execute a primitive",
)


def main() -> None:
    """Measure every task that is asked for."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    request = json.load(sys.stdin)
    options = Options.from_json(request["options"])
    part = importlib.import_module(request["part"])
    for task in request["tasks"]:
        try:
            row = task | part.measure(task, options)
        except Exception as error:
            # A component may raise anything; the other rows are measured all the same.
            if is_out_of_memory(error):
                print(f"out of memory: {error}", file=sys.stderr)
                sys.exit(OUT_OF_MEMORY)
            row = task | {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(row), file=answers, flush=True)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether a library ran out of the machine's or the device's memory."""
    said = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in SIGNS)


if __name__ == "__main__":
    main()

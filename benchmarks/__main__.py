"""Runs benchmarks and prints their results as JSON, with the machine that they come from."""

import json
import os
import platform
from importlib.metadata import version
from typing import Annotated

import typer

from benchmarks import bovw, input_pipeline, start_up
from emonet.errors import ConfigError

SUITE = {"bovw": bovw.run, "input_pipeline": input_pipeline.run, "start_up": start_up.run}


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(SUITE)}.")] = None,
    quick: Annotated[bool, typer.Option(help="Few repetitions: only shows that it runs.")] = False,
) -> None:
    """Run all benchmarks, or those named."""
    if unknown := set(names or ()) - set(SUITE):
        raise ConfigError(f"No benchmark {', '.join(unknown)}: there are {', '.join(SUITE)}")
    results = {name: SUITE[name](quick=quick) for name in names or SUITE}
    print(json.dumps({"machine": machine(), **results}, indent=1))


def machine() -> dict:
    """Describe where the results come from."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in ("emonet", "keras", "tensorflow", "numpy")},
    }


if __name__ == "__main__":
    typer.run(main)

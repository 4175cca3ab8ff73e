"""The command line: ``run`` measures, ``render`` makes tables and plots, ``compare`` ratios.

``labels`` is about accuracy: what FER-2013's labels allow.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import emonet
from benchmarks.compare import comparison
from benchmarks.labels import label_limits
from benchmarks.machine import has_gpu, machine
from benchmarks.networks import PIXELS
from benchmarks.options import Options
from benchmarks.peers.environments import install
from benchmarks.render import write_pages
from benchmarks.suite import FORMAT, PARTS, run
from emonet.errors import ConfigError, EmonetError, InputError

#: Peers need environments of their own: 'nox -s peers' makes them and asks for this part.
DEFAULT = [name for name in PARTS if name != "peers"]
QUICK = Options(
    backbones=("resnet18",),
    batch_sizes=(8,),
    precisions=("bfloat16",),
    runs=2,
    seconds=1,
    quick=True,
)
PRECISIONS = ("float32", "bfloat16", "float16")
#: The processes that measure have another working folder.
EXISTING: dict[str, Any] = {"exists": True, "resolve_path": True}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """How fast emonet is on this machine, CPU or GPU."""


@app.command("run")
def run_command(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(PARTS)}; all but peers.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Results file; or they are printed.")] = None,
    backbones: Annotated[str | None, typer.Option(help="Names, with commas; or all.")] = None,
    features: Annotated[
        str | None, typer.Option(help="pixels, or feature extractors fused with them.")
    ] = None,
    batch_sizes: Annotated[str | None, typer.Option(help="Such as 1,8,32,128.")] = None,
    precisions: Annotated[str | None, typer.Option(help="float32,bfloat16,float16")] = None,
    compiled: Annotated[
        str | None, typer.Option("--compile", help="XLA: on, off, or on,off.")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Of every row.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="After so many, a row's runs are cut short.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="fer2013.csv, for its faces; or random ones.", **EXISTING)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of --data; PublicTest unless it is said.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="A folder of images.", **EXISTING)] = None,
    yunet: Annotated[Path | None, typer.Option(help="YuNet's ONNX file.", **EXISTING)] = None,
    peers: Annotated[
        Path | None, typer.Option(help="Folder of the peers' environments.", **EXISTING)
    ] = None,
    quick: Annotated[bool, typer.Option(help="Everything small: only shows that it runs.")] = False,
    require_gpu: Annotated[bool, typer.Option(help="Fail where there is no GPU.")] = False,
) -> None:
    """Measure, and write the results as JSON. Exits with 1 if a row failed."""
    names = parts or DEFAULT
    if unknown := set(names) - set(PARTS):
        raise ConfigError(f"No part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    if split is not None and data is None:
        raise ConfigError(f"--split {split} says which part of --data: give --data as well")
    given = {
        "backbones": _chosen("--backbones", backbones, emonet.list_backbones()),
        "features": _chosen("--features", features, [PIXELS, *emonet.list_feature_extractors()]),
        "batch_sizes": _sizes(batch_sizes),
        "precisions": _chosen("--precisions", precisions, PRECISIONS),
        "compile": _switches(compiled),
        "runs": runs,
        "seconds": seconds,
        "data": data and str(data),
        "split": split,
        "photos": photos and str(photos),
        "yunet": yunet and str(yunet),
        "peers": peers and str(peers),
    }
    base = QUICK if quick else Options(backbones=tuple(emonet.list_backbones()))
    chosen = {name: value for name, value in given.items() if value is not None}
    options = Options(**{**asdict(base), **chosen})
    header = machine()
    if require_gpu and not has_gpu(header):
        raise EmonetError(
            f"--require-gpu: Keras sees no GPU, only {header['keras']}. Install emonet[gpu] and "
            f"the GPU's driver, or leave the option out."
        )
    results = run(names, options, header, out)
    if out is None:
        print(json.dumps(results, indent=1))
    if any("error" in row for rows in results["parts"].values() for row in rows):
        sys.exit(1)


@app.command()
def render(
    results: Annotated[Path, typer.Argument(help="What 'run' wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for benchmarks.md and its plots.")],
) -> None:
    """Write results as a Markdown page with tables and plots."""
    write_pages(_read(results), out)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="What 'run' wrote.")],
    second: Annotated[Path, typer.Argument(help="Likewise.")],
) -> None:
    """Print, row by row, the second results as multiples of the first."""
    print(comparison(_read(first), _read(second)))


@app.command()
def labels(
    data: Annotated[Path, typer.Option(help="fer2013.csv.", **EXISTING)],
    ferplus: Annotated[Path, typer.Option(help="FER+ votes, fer2013new.csv.", **EXISTING)],
    split: Annotated[str, typer.Option(help="Of both files.")] = "PublicTest",
    model: Annotated[str | None, typer.Option(help="A bundled model, or a folder.")] = None,
) -> None:
    """Tell how many labels a model gets right, FER+'s voters, and both together, as JSON."""
    print(json.dumps(label_limits(model, data, ferplus, split), indent=1))


@app.command()
def install_peers(
    folder: Annotated[Path, typer.Argument(help="Each peer gets an environment in it.")],
) -> None:
    """Install other libraries to compare with; what can't be installed is left out."""
    install(folder)


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.split(","))


def _chosen(option: str, text: str | None, choices: Sequence[str]) -> tuple[str, ...] | None:
    words = _words(text)
    if words is not None and not set(words) <= set(choices):
        raise ConfigError(f"{option} takes {', '.join(choices)}, with commas; got {text!r}")
    return words


def _sizes(text: str | None) -> tuple[int, ...] | None:
    words = _words(text)
    if words is None:
        return None
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ConfigError(f"--batch-sizes takes whole numbers with commas, got {text!r}")
    return tuple(int(word) for word in words)


def _switches(text: str | None) -> tuple[bool, ...] | None:
    words = _chosen("--compile", text, ["on", "off"])
    return None if words is None else tuple(word == "on" for word in words)


def _read(path: Path) -> dict:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise InputError(f"{path} is no results file of 'python -m benchmarks run'")
    return results


if __name__ == "__main__":
    try:
        app()
    except (EmonetError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(2)

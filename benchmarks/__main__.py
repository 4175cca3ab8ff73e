"""Command line: ``run`` measures, ``render`` writes tables and plots, ``compare`` prints ratios.

``labels`` compares a model with the people who voted for FER+. ``choosing`` measures what choosing
the members of an ensemble gains. ``train-bundled`` trains the models.
"""

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import emonet
from benchmarks.bundled_runs import LISTS
from benchmarks.choosing import choosing
from benchmarks.compare import comparison
from benchmarks.detection import detection
from benchmarks.framing import framing
from benchmarks.interrupted import interrupted_run
from benchmarks.labels import label_noise
from benchmarks.machine import has_gpu, machine
from benchmarks.many_photos import make_photos
from benchmarks.networks import PIXELS
from benchmarks.options import Options
from benchmarks.peers.environments import install
from benchmarks.render import write_pages
from benchmarks.scale import scale_table
from benchmarks.suite import FORMAT, PARTS, run
from benchmarks.train_bundled import Place, train_list
from emonet.config import look_up
from emonet.errors import ConfigError, EmonetError, InputError

#: Peers need their own environments: 'nox -s peers' makes them and runs this part.
DEFAULT = [name for name in PARTS if name != "peers"]
QUICK = Options(
    backbones=("resnet18",),
    batch_sizes=(8,),
    precisions=("bfloat16",),
    runs=2,
    seconds=1,
    quick=True,
)
#: Exit status after SIGTERM, as of a shell.
TERMINATED = 143
PRECISIONS = ("float32", "bfloat16", "float16")
#: Paths are resolved, because measuring processes have another working folder.
EXISTING: dict[str, Any] = {"exists": True, "resolve_path": True}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Measure how fast emonet is on this machine, on a CPU or a GPU."""


@app.command("run")
def run_command(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"From {', '.join(PARTS)}; by default all but peers.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Results file; by default stdout.")] = None,
    backbones: Annotated[str | None, typer.Option(help="Comma-separated; by default all.")] = None,
    features: Annotated[
        str | None, typer.Option(help="pixels, or feature extractors to fuse with them.")
    ] = None,
    batch_sizes: Annotated[str | None, typer.Option(help="For example 1,8,32,128.")] = None,
    precisions: Annotated[str | None, typer.Option(help="From float32,bfloat16,float16.")] = None,
    compiled: Annotated[
        str | None, typer.Option("--compile", help="XLA: on, off or on,off.")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Runs of each row.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Start no run of a row after this time.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="fer2013.csv; by default random faces.", **EXISTING)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of --data; by default PublicTest.")
    ] = None,
    explained: Annotated[
        int | None, typer.Option(min=2, help="Faces of --data to explain; by default 500.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="A folder of images.", **EXISTING)] = None,
    sequences: Annotated[
        int | None, typer.Option(min=0, help="Made films of faces; 0 for all faces of the split.")
    ] = None,
    peers: Annotated[
        Path | None, typer.Option(help="Folder of peers' environments.", **EXISTING)
    ] = None,
    quick: Annotated[bool, typer.Option(help="Small sizes: only test that it runs.")] = False,
    require_gpu: Annotated[bool, typer.Option(help="Fail if Keras sees no GPU.")] = False,
) -> None:
    """Measure and write the results as JSON. The exit status is 1 if a row failed."""
    names = parts or DEFAULT
    if unknown := set(names) - set(PARTS):
        raise ConfigError(f"No part named {', '.join(unknown)}. Choose from {', '.join(PARTS)}")
    if split is not None and data is None:
        raise ConfigError(f"--split {split} is a split of --data, which is missing. Add --data")
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
        "explained": explained,
        "photos": photos and str(photos),
        "sequences": sequences,
        "peers": peers and str(peers),
    }
    base = QUICK if quick else Options(backbones=tuple(emonet.list_backbones()))
    chosen = {name: value for name, value in given.items() if value is not None}
    options = Options(**{**asdict(base), **chosen})
    header = machine()
    if require_gpu and not has_gpu(header):
        raise EmonetError(
            f"--require-gpu: Keras sees no GPU, only {header['keras']}. Install emonet[gpu] and "
            f"the GPU's driver, or omit --require-gpu."
        )
    results = run(names, options, header, out)
    if out is None:
        print(json.dumps(results, indent=1))
    if any("error" in row for rows in results["parts"].values() for row in rows):
        sys.exit(1)


@app.command()
def render(
    results: Annotated[Path, typer.Argument(help="Results file of 'run'.")],
    out: Annotated[Path, typer.Option(help="Folder for benchmarks.md and plots.")],
) -> None:
    """Write a Markdown page with tables and plots of the results."""
    write_pages(_read(results), out)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Results file of 'run'.")],
    second: Annotated[Path, typer.Argument(help="Another results file.")],
) -> None:
    """Print each figure of two results files and their ratio."""
    print(comparison(_read(first), _read(second)))


@app.command("scale")
def scale_command(
    results: Annotated[Path, typer.Argument(help="Results file of 'run steps'.")],
    photos: Annotated[int, typer.Option(min=1, help="Number of photos.")] = 1_000_000_000,
    faces: Annotated[float, typer.Option(min=0, help="Average faces in a photo.")] = 1.0,
    cores: Annotated[int, typer.Option(min=1, help="Cores of a machine.")] = 64,
) -> None:
    """Print what a job of many photos takes, as a Markdown table."""
    print(scale_table(_read(results), photos, faces, cores))


@app.command()
def labels(
    data: Annotated[Path, typer.Option(help="fer2013.csv.", **EXISTING)],
    ferplus: Annotated[Path, typer.Option(help="FER+ votes, fer2013new.csv.", **EXISTING)],
    split: Annotated[str, typer.Option(help="Split of both files.")] = "PublicTest",
    model: Annotated[str | None, typer.Option(help="Bundled model or folder.")] = None,
) -> None:
    """Print the accuracy of a model, of FER+'s voters and of both together, as JSON."""
    print(json.dumps(label_noise(model, data, ferplus, split), indent=1))


@app.command("detection")
def detection_command(
    photos: Annotated[Path, typer.Option(help="A folder of photos and faces.json.", **EXISTING)],
) -> None:
    """Print how many faces the detectors find in photos, also in changed ones, as JSON."""
    print(json.dumps(detection(photos), indent=1))


@app.command("framing")
def framing_command(
    data: Annotated[Path, typer.Option(help="fer2013.csv.", **EXISTING)],
    split: Annotated[str, typer.Option(help="Split of the data.")] = "PublicTest",
    models: Annotated[
        str, typer.Option(help="Bundled models or folders, comma-separated.")
    ] = "tiny,fast,default",
    faces: Annotated[int, typer.Option(min=1, help="Number of faces.")] = 1000,
    shifts: Annotated[
        bool, typer.Option("--shifts", help="Also measure other vertical shifts of the crops.")
    ] = False,
) -> None:
    """Print accuracy by framing and by the tilt of the head, as JSON."""
    print(json.dumps(framing(data, split, models.split(","), faces, shifts), indent=1))


@app.command("many-photos")
def many_photos_command(
    photos: Annotated[Path, typer.Option(help="A folder of photos.", **EXISTING)],
    out: Annotated[Path, typer.Option(help="Folder for the tar shards.")],
    count: Annotated[int, typer.Option(min=1, help="Photos to make.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Start of the random numbers.")] = 0,
) -> None:
    """Make many small photos from a few; run it again to continue."""
    print(f"{len(make_photos(photos, count, out, seed=seed))} shards: {out}")


@app.command("interrupted")
def interrupted_command(
    shards: Annotated[Path, typer.Option(help="A folder of tar shards.", **EXISTING)],
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files.")],
    model: Annotated[str, typer.Option(help="Bundled model or folder.")] = "tiny",
    kills: Annotated[int, typer.Option(min=0, help="How often the run is killed.")] = 2,
) -> None:
    """Kill ``emonet batch`` in the middle, continue, check its files, and print JSON."""
    found = interrupted_run(sorted(shards.glob("*.tar")), out, model=model, kills=kills)
    print(json.dumps(found, indent=1))


@app.command("choosing")
def choosing_command(
    models: Annotated[list[str], typer.Argument(help="Bundled models or folders.")],
    data: Annotated[Path, typer.Option(help="fer2013.csv.", **EXISTING)],
    split: Annotated[str, typer.Option(help="Split of the data.")] = "PublicTest",
    halves: Annotated[int, typer.Option(min=1, help="Random divisions into halves.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the divisions.")] = 0,
) -> None:
    """Print what choosing members and weights gains on faces that did not choose, as JSON."""
    print(json.dumps(choosing(models, data, split, halves=halves, seed=seed), indent=1))


@app.command()
def train_bundled(
    data: Annotated[Path, typer.Option(help="fer2013.csv.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for model folders, logs and the table.")],
    runs: Annotated[
        str, typer.Option("--list", help=f"The list of runs: {' or '.join(LISTS)}.")
    ] = "bundled",
    only: Annotated[str | None, typer.Option(help="Comma-separated names of runs.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 1,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after this time.")] = None,
    backend: Annotated[str, typer.Option(help="Keras' backend: tensorflow or jax.")] = "tensorflow",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each network, for a trial.")
    ] = None,
) -> None:
    """Train a list of networks and combine them; run it again to continue.

    OUT/runs.md and runs.json have a row for each run. The exit status is 1 if a run failed.
    """
    chosen = {run.name: run for run in look_up("list of runs", runs, LISTS)}
    names = _chosen("--only", only, list(chosen))
    # Exit normally, so that the processes are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    place = Place(out=out, data=data, backend=backend, epochs=epochs)
    if not train_list(list(chosen.values()), place, only=names, parallel=parallel, minutes=minutes):
        sys.exit(1)


@app.command()
def install_peers(
    folder: Annotated[Path, typer.Argument(help="Folder for one environment per peer.")],
) -> None:
    """Install other libraries to compare emonet with; skip libraries that fail to install."""
    install(folder)


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.split(","))


def _chosen(option: str, text: str | None, choices: Sequence[str]) -> tuple[str, ...] | None:
    words = _words(text)
    if words is not None and not set(words) <= set(choices):
        raise ConfigError(f"{option} takes {', '.join(choices)}, comma-separated; got {text!r}")
    return words


def _sizes(text: str | None) -> tuple[int, ...] | None:
    words = _words(text)
    if words is None:
        return None
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ConfigError(f"--batch-sizes takes comma-separated whole numbers, got {text!r}")
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
        raise InputError(f"{path} is not a results file of 'python -m benchmarks run'")
    return results


if __name__ == "__main__":
    try:
        app()
    except (EmonetError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(2)

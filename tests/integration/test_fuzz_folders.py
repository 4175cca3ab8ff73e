"""Real model folders, damaged at random: each loads and does no harm, or is an EmonetError.

A case is a list of small mutations, which a failure shows, so that it can be run again:
``load(mutated(bundled(), mutations), folder)``. Each chunk of cases runs in its own process with
limited memory and time. In the fast tests there are a few hundred cases;
``pytest -m slow tests/integration/test_fuzz_folders.py`` tries 10,000.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save
from tests.integration.small_graph import small_graph

from emonet import EmotionRecognizer
from emonet.errors import EmonetError
from emonet.storage.sources import BUNDLED

FAST_CASES = 200
SLOW_CASES = 10_000
PREDICTED_CASES = 40
CHUNK = 2500
MEMORY = 2 * 2**30

MODEL = BUNDLED / "fast"
CONFIG, RECORD = "config.json", "training.json"
(WEIGHTS,) = (file.name for file in MODEL.glob("*.safetensors"))
(GRAPH,) = (file.name for file in MODEL.glob("*.onnx"))
SECONDS = 15

Files = dict[str, bytes]


class Mutation(NamedTuple):
    """One change to one file.

    Attributes:
        file: its name.
        kind: what is done.
        at: where, in 0..1 of the bytes, or of the values in it.
        size: how many bytes are concerned.
        value: what is put there: some JSON, as text.
    """

    file: str
    kind: str
    at: float
    size: int
    value: str


#: Values that parsers and users of configurations stumble over.
NASTY = (
    "null", "true", "0", "-1", "1", "0.5", "1e308", "1e999", "5e-324", "NaN", "-Infinity", "[]",
    "{}", '""', "[[[[]]]]", str(2**31), str(2**63), str(2**64), "9" * 400, '"../../x"',
    '"/etc/passwd"', '"\\u001b[2J"', '"\\ud800"', '"\\u0000"', '"resnet50"', '"yunet"', '"F16"',
    '"F8_E4M3"', '"C64"', "[0, 4]", "[1000000000000]", '{"a": [{}]}', '"' + "x" * 999 + '"',
)  # fmt: skip

#: Names of files that no model has.
STRANGE = ("b.safetensors", "b.onnx", "weights.pkl", "config.json.bak", ".config.json", "setup.py")

#: Bytes that mean something to a parser of JSON.
FRAGMENTS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\",
    b"\0",
    b"\xff",
    b"9" * 50,
    b"-",
    b"e9",
)

JSON = st.one_of(
    st.sampled_from(NASTY),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
        ),
        max_leaves=6,
    ).map(json.dumps),
)
KINDS = (
    "flip", "cut", "remove", "repeat", "insert", "replace", "delete", "rename", "body", "lose",
    "add",
)  # fmt: skip
MUTATIONS = st.lists(
    st.builds(
        Mutation,
        file=st.sampled_from([CONFIG, RECORD, WEIGHTS, GRAPH]),
        kind=st.sampled_from(KINDS),
        at=st.floats(0, 1),
        size=st.integers(1, 64),
        value=JSON,
    ),
    min_size=1,
    max_size=3,
)


@cache
def bundled() -> Files:
    """The bundled model's files, with those of its weights that are small."""
    arrays = {name: a for name, a in load_file(MODEL / WEIGHTS).items() if a.size < 99}
    record = json.loads((MODEL / RECORD).read_text())
    record["history"] = record["history"][:2]
    return {
        CONFIG: (MODEL / CONFIG).read_bytes(),
        RECORD: json.dumps(record).encode(),
        WEIGHTS: save(arrays),
        GRAPH: small_graph(arrays),
    }


def mutated(files: Files, mutations: list[Mutation], *, digest: bool = True) -> Files:
    """Return the files with mutations made, and as a rule with the digest that fits them."""
    changed = dict(files)
    for mutation in mutations:
        if mutation.kind == "lose":
            changed.pop(mutation.file, None)
        elif mutation.kind == "add":
            changed[STRANGE[mutation.size % len(STRANGE)]] = mutation.value.encode()
        elif mutation.file in changed:
            changed[mutation.file] = _mutated(changed[mutation.file], mutation)
    if digest and CONFIG in changed:
        # Without it hardly a case would reach the parsers of weights and graph.
        for file in {WEIGHTS, GRAPH} & changed.keys():
            old, new = (hashlib.sha256(part[file]).hexdigest() for part in (files, changed))
            known = json.loads(files[CONFIG])["files"][file]
            for stored in (old, known):
                changed[CONFIG] = changed[CONFIG].replace(stored.encode(), new.encode())
    return changed


def _mutated(data: bytes, mutation: Mutation) -> bytes:
    if mutation.kind in ("replace", "delete", "rename"):
        if mutation.file != WEIGHTS:
            return _restructured(data, mutation)  # which leaves a graph alone
        size = int.from_bytes(data[:8], "little")
        header = _restructured(data[8 : 8 + size], mutation)
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    start = min(int(mutation.at * len(data)), max(0, len(data) - 1))
    if mutation.kind == "body" and mutation.file == WEIGHTS:
        # Behind the header, where any bytes are numbers, or none.
        start = min(len(data), 8 + int.from_bytes(data[:8], "little") + 2 * mutation.size)
    before, here, after = data[:start], data[start:][: mutation.size], data[start + mutation.size :]
    match mutation.kind:
        case "cut":
            return before
        case "remove":
            return before + after
        case "repeat":
            return before + here * 2 + after
        case "insert":
            fragment = FRAGMENTS[mutation.size % len(FRAGMENTS)]
            return before + fragment + here + after
        case _:
            return before + bytes(byte ^ (1 << mutation.size % 8) for byte in here) + after


def _restructured(text: bytes, mutation: Mutation) -> bytes:
    """Change one value, or one key, of a JSON text; one that is none any more stays."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    places = list(_places(data))
    if not places:
        return text
    parent, key = places[min(int(mutation.at * len(places)), len(places) - 1)]
    if mutation.kind == "replace":
        parent[key] = "HERE"
    elif mutation.kind == "rename" and isinstance(parent, dict):
        parent[mutation.value] = parent.pop(key)
    else:
        del parent[key]
    return json.dumps(data).replace('"HERE"', mutation.value).encode()


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container and key in a JSON value."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield data, key
            yield from _places(value)


def load(files: Files, folder: Path) -> EmotionRecognizer | None:
    """Write a case and load it; None where that is refused as it should be."""
    for old in folder.iterdir():
        if old.is_file():
            old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    recognizer, message = None, ""
    try:
        recognizer = EmotionRecognizer.from_pretrained(folder)
    except EmonetError as error:
        message = str(error)
    assert all(char.isprintable() or char == "\n" for char in message), ascii(message)
    assert len(message) < 5000
    return recognizer


def check(recognizer: EmotionRecognizer, folder: Path) -> None:
    """Check that what was loaded is sound: it is saved, and then loads again as it was."""
    assert all(label.isprintable() for label in recognizer.labels)
    for arrays in recognizer.weights.values():
        for array in arrays.values():
            assert np.isfinite(array).all()
    recognizer.save_pretrained(folder)
    again = EmotionRecognizer.from_pretrained(folder)
    assert again.labels == recognizer.labels
    assert again.weights.keys() == recognizer.weights.keys()


def run(mutations: list[Mutation], digest: bool, folder: Path) -> bool:
    """Run one case; tell whether it loaded."""
    recognizer = load(mutated(bundled(), mutations, digest=digest), folder)
    if recognizer is not None:
        check(recognizer, folder / "again")
    return recognizer is not None


def fuzz(first: int, cases: int) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Return a decorator that tries the same cases on every machine, for a function of one case."""

    def decorate(function: Callable[..., None]) -> Callable[[], None]:
        limits = settings(
            max_examples=cases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        return seed(first)(limits(function))

    return decorate


def limit_seconds() -> None:
    """End this process if the next case takes too long."""
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS, most))


def damaged(first: int, cases: int, folder: Path) -> Counter[str]:
    """Load damaged folders."""
    outcomes: Counter[str] = Counter()

    @fuzz(first, cases)
    @given(mutations=MUTATIONS, digest=st.sampled_from([True, True, True, False]))
    def case(mutations: list[Mutation], digest: bool) -> None:
        limit_seconds()
        outcomes["loaded" if run(mutations, digest, folder) else "refused"] += 1

    case()
    return outcomes


def predicted(first: int, cases: int, folder: Path) -> Counter[str]:
    """Load folders with all of the weights, and predict with them."""
    files = bundled() | {file: (MODEL / file).read_bytes() for file in (WEIGHTS, GRAPH)}
    faces = np.random.default_rng(0).integers(0, 256, (2, 48, 48)).astype(np.uint8)
    outcomes: Counter[str] = Counter()

    @fuzz(first, cases)
    @given(mutations=MUTATIONS.filter(_may_load))
    def case(mutations: list[Mutation]) -> None:
        limit_seconds()
        recognizer = load(mutated(files, mutations), folder)
        if recognizer is None:
            outcomes["refused"] += 1
            return
        try:
            probabilities = recognizer.predict_proba(faces)
        except EmonetError:
            outcomes["refused later"] += 1
        else:
            assert probabilities.shape == (2, len(recognizer.labels))
            outcomes["predicted"] += 1

    case()
    return outcomes


def _may_load(mutations: list[Mutation]) -> bool:
    """Tell whether a case stands a chance of getting past the parsers."""
    structural = all(part.kind in ("replace", "body") for part in mutations)
    return structural and len(mutations) == 1 and mutations[0].file != RECORD


def outcomes(kind: str, cases: int, folder: Path) -> Counter[str]:
    """Run cases in limited processes; return how many ended how."""
    counts: Counter[str] = Counter()
    command = [sys.executable, "-W", "always", "-m", "tests.integration.test_fuzz_folders"]
    for first in range(0, cases, CHUNK):
        done = subprocess.run(
            [*command, kind, str(first), str(min(CHUNK, cases - first)), str(folder)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"exit {done.returncode}: {said[-4000:]}"
        assert done.stderr == ""
        counts.update(json.loads(done.stdout))
    print(dict(counts))
    return counts


linux = pytest.mark.skipif(sys.platform != "linux", reason="limits the process with Linux's means")


def test_the_undamaged_folder_loads(tmp_path: Path) -> None:
    assert run([], digest=False, folder=tmp_path) is False
    assert run([], digest=True, folder=tmp_path)


@linux
@pytest.mark.parametrize("cases", [FAST_CASES, pytest.param(SLOW_CASES, marks=pytest.mark.slow)])
def test_a_damaged_folder_loads_or_is_refused(tmp_path: Path, cases: int) -> None:
    counts = outcomes("damaged", cases, tmp_path)
    assert counts.total() >= cases
    assert 0.01 < counts["loaded"] / counts.total() < 0.9


@linux
@pytest.mark.slow
def test_damaged_folders_that_load_predict_or_are_refused(tmp_path: Path) -> None:
    assert outcomes("predicted", PREDICTED_CASES, tmp_path)["predicted"]


def main() -> None:
    """Run a chunk of cases, and print how many ended how."""
    import resource

    kind, first, count, folder = sys.argv[1:]
    run([], digest=True, folder=Path(folder))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(json.dumps(globals()[kind](int(first), int(count), Path(folder))))


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    main()

"""Model folders that mean harm, or are broken beyond what an accident does.

Whatever is in a folder, opening it runs no code, writes nothing, reads nothing outside the
folder, stays below 1 GB of memory and 10 s, and ends in an EmonetError if it can't be used.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save
from tests.integration.conftest import Run, edit_config
from tests.integration.sandbox import CPU_SECONDS, Outcome, Sandbox, small_model

from emonet import EmotionRecognizer
from emonet.errors import EmonetError, ModelNotFoundError
from emonet.storage.folder import MAX_HUB_BYTES
from emonet.storage.sources import BUNDLED

WEIGHTS = "resnet18.safetensors"
MEGABYTES = 1000

#: What reading a record makes pydantic do, once.
HARMLESS = {
    "compile b'Mapping[str, TrainingRecord]'",
    "compile b'tuple[TrainingRecord, ...]'",
    "exec <string>",
}

#: Interpreter, packages and emonet itself.
INSTALLED = tuple({sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])})

ESCAPE = "\x1b]0;owned\x07"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("small"))


def relabel(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Give a model other labels, and the counts of its training faces to them."""

    def edit(config: dict[str, Any]) -> None:
        counts = config.get("training_counts", {})
        config["labels"] = change(config["labels"])
        if counts:
            config["training_counts"] = dict(zip(config["labels"], counts.values(), strict=True))

    edit_config(folder, edit)


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    """A copy of a small model to break."""
    return shutil.copytree(small_folder, tmp_path / "model")


def refused(outcome: Outcome, error: str = "EmonetError") -> None:
    """Check that a folder was refused, with a message that is fit to print."""
    assert error in outcome.errors, outcome
    assert "EmonetError" in outcome.errors, outcome
    printable(outcome.message)
    harmless(outcome)


def printable(text: str) -> None:
    # Cc and Cf: control characters, and those that turn a text's direction round.
    odd = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs")}
    assert odd <= {"\n"}, ascii(text)
    assert len(text) < 2000


def harmless(outcome: Outcome) -> None:
    assert set(outcome.events) <= HARMLESS, outcome
    sparing(outcome)


def sparing(outcome: Outcome) -> None:
    # What a sandbox's limit prevents would have happened outside of one.
    for sign in ("MemoryError", "bad_alloc", "Unable to allocate", "Insufficient memory"):
        assert sign not in outcome.message, outcome
    assert outcome.seconds < CPU_SECONDS
    assert outcome.megabytes < MEGABYTES


def reads_only(outcome: Outcome, folder: Path) -> None:
    outside = [path for path in outcome.read if not path.startswith((*INSTALLED, f"{folder}/"))]
    assert not outside


def replace_weights(folder: Path, data: bytes) -> None:
    """Exchange the weights, with their digest; the graph, which would ask for others, goes."""
    (file,) = folder.glob("*.safetensors")
    file.unlink()
    file.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit_config(folder, lambda config: config.update(files={file.name: digest}))


def test_a_good_folder_passes_the_same_watch(sandbox: Sandbox, folder: Path) -> None:
    (outcome,) = sandbox.run("load", folder)
    assert outcome.value["record"], outcome
    harmless(outcome)
    reads_only(outcome, folder)


def test_the_watch_sees_what_it_looks_for(sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    (outcome,) = sandbox.run("save", folder, out=str(tmp_path / "out"))
    assert any(event.startswith("write ") for event in outcome.events)
    assert any(event.startswith("os.rename") for event in outcome.events)


# --- Files that are no files -----------------------------------------------------------------

LINKS = {
    "endless device": "/dev/zero",
    "random device": "/dev/urandom",
    "terminal": "/dev/tty",
    "itself": "config.json",
    "nowhere": "nothing",
    "folder above": "..",
    "memory of the process": "/proc/self/mem",
    "file without a size": "/proc/self/environ",
    "no text": sys.executable,
}


def odd_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(path.name if target == "config.json" else target)


def odd_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def odd_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def odd_size(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


ODD: dict[str, Callable[[Path], None]] = {
    **{f"link to {name}": lambda path, t=t: odd_link(path, t) for name, t in LINKS.items()},
    "FIFO": odd_fifo,
    "folder": odd_folder,
    "1 GB": lambda path: odd_size(path, 10**9),
    "10 TB": lambda path: odd_size(path, 10**13),
    "empty": lambda path: odd_size(path, 0),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("file", ["config.json", WEIGHTS])
def test_what_is_no_file_of_a_model_is_refused(
    sandbox: Sandbox, folder: Path, file: str, kind: str
) -> None:
    ODD[kind](folder / file)
    (outcome,) = sandbox.run("load", folder, memory=MAX_HUB_BYTES)
    refused(outcome, "WeightsError" if file == WEIGHTS else "EmonetError")


@pytest.mark.parametrize("kind", ODD)
def test_a_record_that_is_no_file_is_left_alone(sandbox: Sandbox, folder: Path, kind: str) -> None:
    ODD[kind](folder / "training.json")
    (outcome,) = sandbox.run("load", folder)
    assert outcome.value == {**outcome.value, "record": False}
    harmless(outcome)


# --- config.json -----------------------------------------------------------------------------

BIG = "9" * 200_000


def swap(key: str, value: str) -> Callable[[str], str]:
    """Replace the value of a key of the top level by some JSON."""

    def change(text: str) -> str:
        config = json.loads(text)
        config[key] = "HERE"
        return json.dumps(config).replace('"HERE"', value)

    return change


def add(text: str) -> Callable[[str], str]:
    return lambda config: config.replace("{", "{" + text + ",", 1)


CONFIGS: dict[str, Callable[[str], str | bytes]] = {
    "10,000 lists deep": swap("detector", "[" * 10_000 + "]" * 10_000),
    "10,000 objects deep": swap("detector", '{"a":' * 10_000 + "1" + "}" * 10_000),
    "500 lists deep in a setting": swap(
        "detector", '{"name": "dlib_hog", "config": {"upsample": ' + "[" * 500 + "]" * 500 + "}}"
    ),
    "never closed": lambda text: "[" * 10**6,
    "key twice": add('"temperature": 2.0'),
    "key twice, written otherwise": add('"\\u0074emperature": 2.0'),
    "NaN": swap("temperature", "NaN"),
    "-Infinity": swap("temperature", "-Infinity"),
    "infinite": swap("temperature", "1e999"),
    "number of 200,000 digits": swap("temperature", BIG),
    "float of 200,000 digits": swap("temperature", f"{BIG}.0"),
    "exponent of 200,000 digits": swap("temperature", f"1e{BIG}"),
    "version of 4,000 digits": swap("format_version", "9" * 4000),
    "release of 5,000 digits and an unknown key": lambda text: add('"later": 1')(
        swap("emonet_version", json.dumps("9" * 5000))(text)
    ),
    "release between odd spaces and an unknown key": lambda text: add('"later": 1')(
        swap("emonet_version", '"\\u001c99\\u2028"')(text)
    ),
    "smallest number": swap("temperature", "5e-324"),
    "largest number": swap("temperature", "1.7e308"),
    "80,000 labels": swap("labels", "[" + '"",' * 80_000 + '""]'),
    "120,000 numbers": swap("labels", "[" + "1," * 120_000 + "1]"),
    "80,000 networks": swap("networks", "[" + "{}," * 80_000 + "{}]"),
    "20,000 unknown keys": add(",".join(f'"k{i}":1' for i in range(20_000))),
    "20,000 settings": swap(
        "detector",
        json.dumps({"name": "dlib_hog", "config": {f"k{i}": 1 for i in range(15_000)}}),
    ),
    "long unknown key": add(f'"{BIG}": 1'),
    "long unknown setting": swap("detector", f'{{"name": "dlib_hog", "config": {{"{BIG}": 1}}}}'),
    "long text": swap("temperature", f'"{BIG}"'),
    "escape as a key": add('"\\u001b]0;owned\\u0007": 1'),
    "escape as a setting": swap(
        "detector", '{"name": "dlib_hog", "config": {"\\u001b]0;owned\\u0007": 1}}'
    ),
    "escape as a version": swap("emonet_version", '"\\u001b]0;owned\\u0007"'),
    "turned text": swap("labels", '["happy", "\\u202eyppah"]'),
    "half a character": swap("labels", '["happy", "\\ud800"]'),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "mark before UTF-8": lambda text: text.encode("utf-8-sig"),
    "no UTF-8": lambda text: text.replace("anger", "\udcff").encode(errors="surrogateescape"),
    "NUL": lambda text: text + "\0",
    "comment": add("/* */"),
    "a second document": lambda text: text * 2,
    "pickle": lambda text: b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85R.",
    "YAML": lambda text: "!!python/object/apply:os.system ['id']",
    "larger than any": lambda text: text + " " * 2**22,
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_hostile_config_is_refused(sandbox: Sandbox, folder: Path, case: str) -> None:
    path = folder / "config.json"
    text = CONFIGS[case](path.read_text())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (outcome,) = sandbox.run("load", folder)
    refused(outcome, "ConfigError")


#: What somebody might put where a name stands.
EVIL = (
    "../../victim", "/etc/passwd", "..\\victim", "C:\\victim", "file:///etc/passwd",
    "hf://org/name/file", "https://127.0.0.1:9/file", "os.system", "os:system", "__import__('os')",
    "$(touch victim)", "; touch victim", "%s%s%n", "{0.__class__}", "-rf", "", ".", "..", "CON",
    ESCAPE, "a\nb", "a\0b", "\u202eslebal", "<script>alert(1)</script>", "x" * 100_000,
)  # fmt: skip


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """Yield the path of every string of a JSON value, and whether it is a key."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key), True
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, (*path, index))
    elif isinstance(value, str):
        yield path, False


def with_string(config: Any, path: tuple[Any, ...], is_key: bool, text: str) -> Any:
    changed = json.loads(json.dumps(config))
    parent = changed
    for part in path[:-1]:
        parent = parent[part]
    if is_key:
        parent[text] = parent.pop(path[-1])
    else:
        parent[path[-1]] = text
    return changed


def test_no_string_of_a_config_leads_out_of_the_folder(
    sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    # Settings that are texts, too.
    config["networks"][0]["features"] = [{"name": "bovw", "config": {"block_norm": "L1"}}]
    places = list(strings(config))
    assert len(places) > 50
    folders = []
    for number, (path, is_key) in enumerate(places):
        for text in EVIL:
            broken = tmp_path / f"broken-{number}-{len(folders)}"
            broken.mkdir()
            (broken / WEIGHTS).symlink_to(folder / WEIGHTS)
            stored = json.dumps(with_string(config, path, is_key, text))
            (broken / "config.json").write_text(stored)
            folders.append(broken)
    before = sorted(file.name for file in tmp_path.iterdir())
    loaded = 0
    for broken, outcome in zip(folders, sandbox.run("load", *folders), strict=True):
        if outcome.value is None:
            refused(outcome)
        else:
            harmless(outcome)
            printable("".join(outcome.value["labels"]))
            loaded += 1
        reads_only(outcome, broken)
    # Labels, and what only tells where the model came from, may be nearly any text.
    assert loaded < len(folders) / 5
    assert before == sorted(file.name for file in tmp_path.iterdir())


# --- Weights ---------------------------------------------------------------------------------


def tensor_file(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


E1 = f"a{ESCAPE}"
TENSORS: dict[str, bytes] = {
    "header longer than the file": (10**6).to_bytes(8, "little") + b"{}",
    "header of 2^63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "header of 2^64 - 1 bytes": (2**64 - 1).to_bytes(8, "little") + b"{}",
    "header of no bytes": bytes(8),
    "header is no object": tensor_file([]),
    "header is no text": tensor_file(b"\xff\xfe"),
    "header is a number of many digits": tensor_file(BIG.encode()),
    "10,000 lists deep": tensor_file(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    "10^12 elements": tensor_file({E1: tensor([10**12], 0, 4)}, bytes(4)),
    "10^12 elements, and says so": tensor_file({E1: tensor([10**12], 0, 4 * 10**12)}, bytes(4)),
    "more elements than numbers": tensor_file({"a": tensor([2**40, 2**40], 0, 4)}, bytes(4)),
    "empty, of 2^63 rows": tensor_file({"a": tensor([0, 2**63], 0, 0)}),
    "empty, of 10^12 rows": tensor_file({"a": tensor([0, 10**12], 0, 0)}),
    "70 dimensions": tensor_file({"a": tensor([1] * 70, 0, 4)}, bytes(4)),
    "300,000 dimensions": tensor_file({"a": tensor([1] * 300_000, 0, 4)}, bytes(4)),
    "less than no rows": tensor_file({"a": tensor([-1], 0, 4)}, bytes(4)),
    "half a row": tensor_file({"a": tensor([0.5], 0, 4)}, bytes(4)),  # type: ignore[list-item]
    "overlap": tensor_file({E1: tensor([1], 0, 4), "b": tensor([1], 0, 4)}, bytes(4)),
    "overlap by a part": tensor_file({E1: tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
    "beyond the end": tensor_file({E1: tensor([1], 4, 8)}, bytes(4)),
    "before the start": tensor_file({E1: tensor([1], -4, 0)}, bytes(4)),
    "backwards": tensor_file({E1: tensor([1], 4, 0)}, bytes(4)),
    "hole": tensor_file({E1: tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)),
    "something behind": tensor_file({"a": tensor([1], 0, 4)}, bytes(4) + b"PK\3\4"),
    "name twice": tensor_file(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        bytes(8),
    ),
    "escape as a dtype": tensor_file({"a": tensor([1], 0, 4, ESCAPE)}, bytes(4)),
    "long dtype": tensor_file({"a": tensor([1], 0, 4, BIG)}, bytes(4)),
    "complex numbers": tensor_file({E1: tensor([1], 0, 8, "C64")}, bytes(8)),
    "bfloat16": tensor_file({E1: tensor([1], 0, 2, "BF16")}, bytes(2)),
    "four bits": tensor_file({E1: tensor([2], 0, 1, "F4")}, bytes(1)),
    "eight bits": tensor_file({E1: tensor([1], 0, 1, "F8_E4M3")}, bytes(1)),
    "NaN": tensor_file({E1: tensor([1], 0, 4)}, b"\0\0\xc0\x7f"),
    "NaN of a long name": tensor_file({BIG: tensor([1], 0, 4)}, b"\0\0\xc0\x7f"),
    "infinite": tensor_file({E1: tensor([1], 0, 4)}, b"\0\0\x80\xff"),
    "infinite as float32": tensor_file({E1: tensor([1], 0, 8, "F64")}, b"\0\0\0\0\0\0\xf0\x7e"),
    "pickle": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85R.",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "zip": b"PK\x03\x04" + bytes(100),
}
#: What is odd and does no harm: whatever the weights are, they are of another network.
FIT_FOR_PARSING = {"empty, of 10^12 rows"}


@pytest.mark.parametrize("case", TENSORS)
def test_hostile_weights_are_refused(sandbox: Sandbox, folder: Path, case: str) -> None:
    replace_weights(folder, TENSORS[case])
    (outcome,) = sandbox.run("load", folder)
    if case in FIT_FOR_PARSING:
        assert outcome.value, outcome
        harmless(outcome)
    else:
        refused(outcome, "WeightsError")


@pytest.mark.parametrize("count", [15_000, 100_000])
def test_many_empty_arrays_take_no_time(sandbox: Sandbox, folder: Path, count: int) -> None:
    names = {f"a{number}": tensor([0], 0, 0) for number in range(count)}
    replace_weights(folder, tensor_file(names))
    (outcome,) = sandbox.run("load", folder)
    harmless(outcome)
    # The header of the second is too large for any network's.
    assert (outcome.value is None) == (count > 15_000)


def zeros(path: Path, megabytes: int) -> str:
    """Write a weights file of zeros that takes no space on the disk; return its digest."""
    size = megabytes * 2**20
    header = tensor_file({"a": tensor([size // 4], 0, size)})
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def many_networks(folder: Path, count: int, digest: str) -> None:
    """Let a config ask for a file many times, under the names of as many links."""

    def change(config: dict[str, Any]) -> None:
        (network,) = config["networks"]
        config["networks"] = [{**network, "name": f"n{index}"} for index in range(count)]
        config["files"] = {f"n{index}.safetensors": digest for index in range(count)}

    edit_config(folder, change)
    for index in range(count):
        (folder / f"n{index}.safetensors").symlink_to(WEIGHTS)


@pytest.mark.parametrize("count", [1, 64])
def test_a_small_disk_does_not_fill_the_memory(sandbox: Sandbox, folder: Path, count: int) -> None:
    digest = zeros(folder / WEIGHTS, 250)
    many_networks(folder, count, digest)
    # What a folder on this machine may take depends on the machine.
    (outcome,) = sandbox.run("load", folder, memory=MAX_HUB_BYTES)
    harmless(outcome)
    if count > 1:
        refused(outcome, "WeightsError")


@pytest.mark.parametrize("count", [65, 3000])
def test_too_many_networks_are_refused(sandbox: Sandbox, folder: Path, count: int) -> None:
    many_networks(folder, count, "0" * 64)
    (outcome,) = sandbox.run("load", folder)
    refused(outcome, "ConfigError")


def many_face_sizes(config: dict[str, Any]) -> None:
    for index, network in enumerate(config["networks"]):
        network["face_size"] = [1024, 1024 - index]


def test_faces_of_many_sizes_are_refused(sandbox: Sandbox, folder: Path) -> None:
    many_networks(folder, 64, json.loads((folder / "config.json").read_text())["files"][WEIGHTS])
    (outcome,) = sandbox.run("load", folder)
    assert len(outcome.value["arrays"]) == 64, outcome
    edit_config(folder, many_face_sizes)
    (outcome,) = sandbox.run("load", folder)
    refused(outcome, "ConfigError")


# --- The training record, and the card that is made of it -------------------------------------

RECORDS: dict[str, Callable[[], str]] = {
    "10,000 lists deep": lambda: "[" * 10_000,
    "100 members deep": lambda: '{"members": {"a": ' * 100 + "{}" + "}}" * 100,
    "2,000,000 numbers": lambda: '{"history": [' + "1," * 2_000_000 + "1]}",
    "15 MB of numbers": lambda: '{"history": [' + "1," * 7_500_000 + "1]}",
    "15 MB of lists": lambda: '{"recipe": {"a": [' + "[]," * 5_000_000 + "[]]}}",
    "15 MB of keys": lambda: "{" + ",".join(f'"{i}":1' for i in range(1_300_000)) + "}",
    "NaN": lambda: '{"seed": NaN}',
    "half a character": lambda: '{"command": "\\ud800"}',
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_hostile_record_is_harmless(sandbox: Sandbox, folder: Path, case: str) -> None:
    (folder / "training.json").write_text(RECORDS[case]())
    (outcome,) = sandbox.run("load", folder)
    assert outcome.value, outcome
    harmless(outcome)


TEXT = (
    f"{ESCAPE}\n```\n<script>alert(1)</script><img src=x onerror=alert(1)>\n"
    "[x](javascript:alert(1)) ![y](https://127.0.0.1:9/z) | a |\n---\nlicense: mit\n"
)
MARKUP = ["<script>alert(1)</script>", "![y](https://127.0.0.1:9/z)", "[x](javascript:alert(1))"]


def hostile_record(record: dict[str, Any]) -> None:
    """Put a text that means harm wherever a record has one that a card shows."""
    (report,) = record["evaluation"].values()
    report["per_class"] = {TEXT: next(iter(report["per_class"].values()))}
    record.update(
        command=TEXT,
        versions={TEXT: TEXT},
        evaluation={TEXT: report},
        seed=10**400,
        ensemble_weights={
            "weights": {TEXT: 1.0},
            "members": {TEXT: 1.0},
            "mean": 1.0,
            "fitted": 1.0,
            "held_out": 1.0,
            "log_loss": 1e308,
            "faces": 10**400,
            "seed": 0,
        },
    )


def test_a_record_that_contradicts_itself_can_be_saved(
    sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    path = folder / "training.json"
    record = json.loads(path.read_text())
    hostile_record(record)
    record["ensemble_weights"]["members"] = {}
    path.write_text(json.dumps(record))
    (outcome,) = sandbox.run("save", folder, out=str(tmp_path / "out"))
    assert outcome.value, outcome


def test_the_card_of_a_strangers_model_holds_no_markup_of_theirs(
    sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    path = folder / "training.json"
    record = json.loads(path.read_text())
    hostile_record(record)
    path.write_text(json.dumps(record))
    relabel(folder, lambda labels: [*labels[: -len(MARKUP)], *MARKUP])
    (outcome,) = sandbox.run("save", folder, out=str(tmp_path / "out"))
    assert outcome.value, outcome
    card = outcome.value.replace("[emonet](https://pypi.org/", "")
    odd = {char for char in card if not char.isprintable()}
    assert odd == {"\n"}
    # Neither the metadata nor a block of code ends where the stranger would have it.
    assert card.count("\n---\n") == 1
    assert card.count("\n```") == 4
    _, _, body = card.partition("\n---\n")
    prose = "".join(body.split("```")[::2])
    assert "alert(1)" in prose
    for part in ("<", "](", "!["):
        assert part not in prose


# --- Saving into a folder that a stranger made -------------------------------------------------


def test_saving_does_not_write_through_links(
    sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("README.md", "training.json"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(victim)
    # A temporary file's name that can be foreseen is one that a link can have.
    (outcome,) = sandbox.run("save", folder, out=str(folder), link=str(victim))
    assert outcome.value, outcome
    assert victim.read_text() == "mine"


# --- What finds and cuts out faces -------------------------------------------------------------


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory, astronaut: Path) -> Path:
    """A photo of 2000 x 2000 pixels, most of it one face."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.open(astronaut).crop((90, 0, 290, 200)).resize((2000, 2000)).save(path)
    return path


DETECTORS = {
    "largest image": {"upsample": 4},
    "doubled to 6400 pixels": {"upsample": 4, "max_side": 400},
    "doubled to 8192 pixels": {"upsample": 4, "max_side": 512},
    "largest image without shrinking": {"upsample": 4, "max_side": 10**9},
    "no shrinking": {"upsample": 0, "max_side": 10**400},
    "everything a face": {"score_threshold": -10},
    "no number": {"upsample": "4"},
    "long text": {"upsample": "x" * 100_000},
    "many values": {"max_side": [[]] * 50_000},
    "too many pixels": {"max_side": 6400, "upsample": 1},
}


@pytest.mark.parametrize("case", DETECTORS)
def test_a_detectors_settings_do_not_take_the_machine(
    sandbox: Sandbox, folder: Path, photo: Path, case: str
) -> None:
    edit_config(folder, lambda config: config["detector"]["config"].update(DETECTORS[case]))
    (outcome,) = sandbox.run("crop", folder, image=str(photo))
    sparing(outcome)
    if outcome.value is None:
        assert "EmonetError" in outcome.errors, outcome
        printable(outcome.message)
    else:
        assert outcome.value < 100


@pytest.mark.parametrize(
    "framing",
    [
        {"scale": 10.0},
        {"scale": 10.0, "shift_x": 10.0, "shift_y": -10.0},
        {"scale": 0.05, "shift_x": -10.0},
        {"scale": 0.05},
    ],
    ids=str,
)
def test_a_framing_does_not_take_the_machine(
    sandbox: Sandbox, folder: Path, photo: Path, framing: dict[str, float]
) -> None:
    edit_config(folder, lambda config: config["framing"].update(yunet=framing))
    (outcome,) = sandbox.run("crop", folder, image=str(photo))
    assert outcome.value == 1, outcome
    sparing(outcome)


# --- The command line --------------------------------------------------------------------------

FILES_OF_A_PLUGIN = {
    "evil-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    "evil-1.0.dist-info/entry_points.txt": "[emonet]\nevil = evil\n",
    "evil.py": "RUN",
    "sitecustomize.py": "RUN",
    "numpy.py": "RUN",
    "emonet_resnet18.py": "RUN",
    "emonet/__init__.py": "RUN",
}


def test_a_folder_can_not_bring_code(folder: Path, tmp_path: Path) -> None:
    """Not even where it is the working directory."""
    mark = tmp_path / "mark"
    for name, text in FILES_OF_A_PLUGIN.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.replace("RUN", f"open({str(mark)!r}, 'w')"))
    done = subprocess.run(
        [Path(sys.executable).with_name("emonet"), "plugins"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "resnet18" in done.stdout
    assert "evil" not in done.stdout
    assert not mark.exists()


def test_a_folders_name_is_printed_without_what_a_terminal_obeys(
    sandbox: Sandbox, folder: Path
) -> None:
    odd = folder.rename(folder.with_name(f"a{ESCAPE}\x9b2J"))
    (odd / WEIGHTS).unlink()
    for words in (["predict", "--model", "FOLDER", "x.png"], ["predict", "FOLDER/*.png"]):
        (outcome,) = sandbox.run("command", odd, arguments=words)
        assert outcome.value["status"] == 2, outcome
        printable(outcome.value["printed"])


@pytest.mark.parametrize("label", ["[/x]", "[link=https://127.0.0.1:9]z[/link]", "[blink]z"])
def test_a_label_is_printed_as_it_is(run: Run, tmp_path: Path, astronaut: Path, label: str) -> None:
    folder = shutil.copytree(BUNDLED / "fast", tmp_path / "model")
    relabel(folder, lambda labels: [f"{label}{i}" for i in range(len(labels))])
    outcome = run("predict", "--model", folder, astronaut)
    assert outcome.status == 0
    assert label in outcome.out


def test_a_label_is_printed_as_it_is_by_evaluate(run: Run, tmp_path: Path, astronaut: Path) -> None:
    labels = [f"[link=z]z[-link]{i}" for i in range(7)]
    folder = shutil.copytree(BUNDLED / "fast", tmp_path / "model")
    relabel(folder, lambda _: labels)
    for label in labels:
        place = tmp_path / "data" / "test" / label
        place.mkdir(parents=True)
        shutil.copy(astronaut, place)
    outcome = run("evaluate", "--data", tmp_path / "data", "--split", "test", "--model", folder)
    assert outcome.status == 0
    assert outcome.out.count("[link=z]z[-link]0") == 2


def test_an_images_name_is_printed_without_what_a_terminal_obeys(run: Run, tmp_path: Path) -> None:
    (tmp_path / f"a{ESCAPE}\x9b2J.png").write_text("no image")
    outcome = run("predict", tmp_path)
    assert outcome.status == 1
    printable(outcome.out + outcome.err)


# --- Up to probabilities -----------------------------------------------------------------------


def test_weights_whose_sums_are_beyond_numbers_give_no_probabilities(tmp_path: Path) -> None:
    folder = shutil.copytree(BUNDLED / "fast", tmp_path / "model")
    (file,) = folder.glob("*.safetensors")
    arrays = load_file(file)
    for name, array in arrays.items():
        # Numbers that are finite, and their sums are not.
        arrays[name] = np.where(np.indices(array.shape).sum(axis=0) % 2, 3e38, -3e38)
    replace_weights(folder, save({name: a.astype(np.float32) for name, a in arrays.items()}))
    recognizer = EmotionRecognizer.from_pretrained(folder)
    with pytest.raises(EmonetError, match="NaN or infinity"):
        recognizer.predict_proba(np.zeros((1, 48, 48), np.uint8))


@pytest.mark.parametrize(
    "source",
    ["x" * 5000, f"a/{'b' * 5000}", "a\0b", f"a{ESCAPE}"],
    ids=len,
)
def test_a_name_that_no_model_can_have_is_not_found(source: str) -> None:
    with pytest.raises(ModelNotFoundError):
        EmotionRecognizer.from_pretrained(source)

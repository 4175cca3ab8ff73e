"""Models on the Hub: the real client against a Hub on loopback, healthy and failing."""

import functools
import hashlib
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.integration.hub_client import HubClient, fingerprint
from tests.integration.hub_server import (
    READER,
    WRITER,
    Answer,
    Fault,
    Hub,
    Repository,
    Request,
    altered,
    as_json,
    cut,
    drip,
    drip_headers,
    endless,
    hang_up,
    hang_up_afterwards,
    ignore,
    instead,
    once,
    read_folder,
    refusal,
    stall,
    with_headers,
)
from tests.integration.recognizers import with_random_weights

from emonet import EmotionRecognizer, TrainingRecord
from emonet.errors import ConfigError
from emonet.model import Model
from emonet.storage.card import model_card
from emonet.storage.config_json import MAX_CONFIG_BYTES, config_from_json, config_to_json
from emonet.storage.folder import MAX_GRAPH_BYTES, write_model
from emonet.storage.record_json import MAX_RECORD_BYTES
from emonet.storage.sources import BUNDLED

NAME = "org/model"
(WEIGHTS,) = (file.name for file in (BUNDLED / "fast").glob("*.safetensors"))
(GRAPH,) = (file.name for file in (BUNDLED / "fast").glob("*.onnx"))
USER_AGENT = f"emonet/{version('emonet')}; hf_hub/2"
#: The least that the client waits in all, in seconds, where it tries again as it likes to is 23.
AT_ONCE = 15
FILES = {"README.md", "config.json", "training.json", WEIGHTS, GRAPH}


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def client(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    client = HubClient(server.url, tmp_path_factory.mktemp("hub"))
    yield client
    client.close()


@pytest.fixture
def hub(server: Hub) -> Hub:
    """The Hub with the bundled model as its one repository."""
    server.repositories.clear()
    server.storage.clear()
    server.add(NAME, BUNDLED / "fast")
    server.requests.clear()
    return server


@pytest.fixture(scope="module")
def default() -> dict[str, Any]:
    return fingerprint(EmotionRecognizer.from_pretrained("fast"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with two networks, and no record of their training."""
    model = EmotionRecognizer.from_pretrained("fast")
    (first,), (weights,) = model.config.networks, model.weights.values()
    networks = (replace(first, name="a"), replace(first, name="b", weight=0.5))
    folder = tmp_path_factory.mktemp("models") / "pair"
    write_model(
        folder,
        Model(
            config=replace(model.config, networks=networks),
            weights={"a": weights, "b": {name: array / 2 for name, array in weights.items()}},
            graphs={name: (BUNDLED / "fast" / GRAPH).read_bytes() for name in "ab"},
        ),
        dtype="float16",
    )
    return folder


def weights_read(hub: Hub) -> list[str]:
    return [line for line in hub.lines if line.startswith("GET /storage/")]


def changed(folder: Path, **values: Any) -> dict[str, bytes]:
    """Return a folder's files with something else in config.json."""
    files = read_folder(folder)
    return {**files, "config.json": json.dumps(json.loads(files["config.json"]) | values).encode()}


# Loading


def test_what_is_loaded_is_the_folder_and_only_what_is_needed_is_asked_for(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    outcome = client("load", NAME, cache_dir=tmp_path, token=READER)
    assert outcome.value == default, outcome.message
    commit = hub.repositories[NAME].refs["main"]
    file = f"/{NAME}/resolve/{commit}"
    digests = json.loads((BUNDLED / "fast" / "config.json").read_text())["files"]
    assert hub.lines == [
        f"GET /api/models/{NAME}",
        f"HEAD {file}/config.json",
        f"GET {file}/config.json",
        f"HEAD {file}/{WEIGHTS}",
        f"GET /storage/{digests[WEIGHTS]}",
        f"HEAD {file}/{GRAPH}",
        f"GET /storage/{digests[GRAPH]}",
        f"HEAD {file}/training.json",
        f"GET {file}/training.json",
    ]
    for request in hub.requests:
        assert request.headers["user-agent"].startswith(USER_AGENT)
        # The storage of large files is another house: no token for it.
        assert request.token == (None if "/storage/" in request.path else READER)
    assert "training.json: 100%" in client.log


def test_a_second_load_works_without_the_hub(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    client("load", NAME, cache_dir=tmp_path)
    hub.requests.clear()
    assert client("load", NAME, cache_dir=tmp_path, local_files_only=True).value == default
    assert hub.lines == []
    assert client("load", NAME, cache_dir=tmp_path).value == default
    assert hub.lines == [f"GET /api/models/{NAME}"]
    hub.stop()
    try:
        unreachable = client("load", NAME, cache_dir=tmp_path)
    finally:
        hub.start()
    assert unreachable.value == default
    assert unreachable.seconds < AT_ONCE


def test_offline_mode_and_a_quiet_client_are_honoured(
    hub: Hub, default: dict[str, Any], tmp_path: Path
) -> None:
    quiet = HubClient(hub.url, tmp_path, HF_HUB_DISABLE_PROGRESS_BARS="1")
    assert quiet("load", NAME).value == default
    assert quiet.log == ""
    quiet.close()
    hub.requests.clear()
    offline = HubClient(hub.url, tmp_path, HF_HUB_OFFLINE="1")
    assert offline("load", NAME).value == default
    unknown = offline("load", "org/other")
    assert unknown.error == "HubError"
    assert "offline mode" in unknown.message
    unknown = offline("load", NAME, revision="1" * 40)
    assert unknown.error == "HubError"
    assert "offline mode" in unknown.message
    assert unknown.seconds < AT_ONCE
    offline.close()
    assert hub.lines == []


def test_a_commit_gives_the_same_bits_for_ever(
    hub: Hub, client: HubClient, default: dict[str, Any], pair: Path, tmp_path: Path
) -> None:
    repository = hub.repositories[NAME]
    old = repository.refs["main"]
    repository.refs["v1"] = old
    new = repository.commit(read_folder(pair), "two networks")
    assert client("load", NAME, revision="v1", cache_dir=tmp_path).value == default
    assert client("load", NAME, revision=old, cache_dir=tmp_path).value == default
    assert client("load", f"{NAME}@{old}", cache_dir=tmp_path).value == default
    assert "v9" in client("load", f"{NAME}@v9", cache_dir=tmp_path).message
    latest = client("load", NAME, cache_dir=tmp_path).value
    assert latest == fingerprint(EmotionRecognizer.from_pretrained(pair))
    repository.refs["v1"] = new
    assert client("load", NAME, revision="v1", cache_dir=tmp_path).value == latest
    hub.requests.clear()
    assert client("load", NAME, revision=old, cache_dir=tmp_path).value == default
    assert hub.lines == []


def test_every_network_is_fetched_and_no_other_file(
    hub: Hub, client: HubClient, pair: Path, tmp_path: Path
) -> None:
    files = read_folder(pair)
    more = {"c.safetensors": b"not in config.json", "x/a.safetensors": b"", "notes.txt": b""}
    hub.repositories[NAME].commit({**files, **more})
    expected = fingerprint(EmotionRecognizer.from_pretrained(pair))
    assert client("load", NAME, cache_dir=tmp_path).value == expected
    fetched = {line.rsplit("/", 1)[1] for line in hub.lines if line.startswith("HEAD")}
    networks = {f"{name}.{kind}" for name in "ab" for kind in ("onnx", "safetensors")}
    assert fetched == networks | {"config.json", "training.json"}
    # training.json is optional, so that the cache is enough.
    hub.stop()
    try:
        again = client("load", NAME, cache_dir=tmp_path)
    finally:
        hub.start()
    assert again.value == expected
    assert again.seconds < AT_ONCE


def test_a_missing_plugin_is_said_before_any_weights_are_fetched(
    hub: Hub, client: HubClient, tmp_path: Path
) -> None:
    config = config_from_json((BUNDLED / "fast" / "config.json").read_bytes(), where="")
    (network,) = config.networks
    foreign = replace(network.backbone, name="acme_net", plugin="acme", distribution="acme-emonet")
    config = replace(config, networks=(replace(network, backbone=foreign),))
    files = read_folder(BUNDLED / "fast")
    hub.repositories[NAME].commit({**files, "config.json": config_to_json(config).encode()})
    outcome = client("load", NAME, cache_dir=tmp_path)
    assert outcome.error == "ComponentNotFoundError"
    assert "acme-emonet" in outcome.message
    assert {line.rsplit("/", 1)[1] for line in hub.lines} == {"model", "config.json"}


def test_a_private_model_needs_a_token(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    hub.add("org/private", BUNDLED / "fast", private=True)
    stranger = client("load", "org/private", cache_dir=tmp_path)
    assert stranger.error == "ModelNotFoundError"
    assert "token" in stranger.message
    assert client("load", "org/private", cache_dir=tmp_path, token=READER).value == default


# Loading that fails

API = "GET /api/models/"
CONFIG = "(HEAD|GET) .*/config.json"
LARGE = "GET /storage/"


@pytest.mark.parametrize(
    ("pattern", "fault", "error", "part"),
    [
        (API, instead(refusal(403, "No")), "HubError", "with this permission"),
        (API, instead(refusal(429, "Slow down")), "HubError", "Too many requests"),
        (API, instead(refusal(500, "Oops")), "HubError", "500"),
        (API, hang_up, "HubError", "disconnected"),
        (
            API,
            instead(Answer(body=b"<p>Welcome to our hotel</p>")),
            "HubError",
            "does not come from the Hub",
        ),
        (CONFIG, instead(refusal(403, "No")), "HubError", "with this permission"),
        (LARGE, instead(refusal(500, "Oops")), "HubError", "500"),
        (LARGE, altered, "WeightsError", "SHA-256"),
    ],
)
def test_a_failing_hub_is_said_and_the_next_try_succeeds(
    hub: Hub,
    client: HubClient,
    default: dict[str, Any],
    tmp_path: Path,
    pattern: str,
    fault: Fault,
    error: str,
    part: str,
) -> None:
    with hub.failing(pattern, fault):
        outcome = client("load", NAME, cache_dir=tmp_path)
    assert (outcome.error, part in outcome.message) == (error, True), outcome
    assert outcome.seconds < AT_ONCE
    assert client("load", NAME, cache_dir=tmp_path).value == default


@pytest.mark.parametrize("revision", [None, "v1", "1" * 40])
def test_an_unreachable_hub_is_said_at_once(
    hub: Hub, client: HubClient, tmp_path: Path, revision: str | None
) -> None:
    hub.stop()
    try:
        outcome = client("load", NAME, revision=revision, cache_dir=tmp_path)
    finally:
        hub.start()
    assert (outcome.error, "refused" in outcome.message) == ("HubError", True), outcome
    assert outcome.seconds < AT_ONCE


def test_what_is_not_there_is_said(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    files = read_folder(BUNDLED / "fast")
    for name in ("config.json", WEIGHTS):
        hub.repositories[f"org/no-{name}"] = Repository()
        hub.repositories[f"org/no-{name}"].commit({key: files[key] for key in FILES - {name}})
    hub.add("org/gated", BUNDLED / "fast", gated=True)
    for arguments, options, error, part in (
        (["org/nothing"], {}, "ModelNotFoundError", "There is no folder org/nothing either"),
        ([NAME], {"revision": "v9"}, "ModelNotFoundError", "v9"),
        ([NAME], {"revision": "1" * 40}, "ModelNotFoundError", "1" * 40),
        (["org/no-config.json"], {}, "ModelNotFoundError", "config.json"),
        ([f"org/no-{WEIGHTS}"], {}, "ModelNotFoundError", WEIGHTS),
        (["org/gated"], {"token": READER}, "HubError", "is gated"),
        ([NAME], {"token": "hf_wrong"}, "HubError", "Invalid credentials"),
        (["org/two--dashes"], {}, "ModelNotFoundError", "--"),
    ):
        outcome = client("load", *arguments, cache_dir=tmp_path, **options)
        assert (outcome.error, part in outcome.message) == (error, True), outcome
        assert "hf_" not in outcome.message.replace("hf_hub", ""), "no token is shown"


def test_a_full_disk_is_said_and_the_next_try_succeeds(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    outcome = client("load_on_a_full_disk", NAME, 2**20, cache_dir=tmp_path)
    assert (outcome.error, "File too large" in outcome.message) == ("HubError", True), outcome
    assert client("load", NAME, cache_dir=tmp_path).value == default


@pytest.mark.parametrize("file", ["config.json", WEIGHTS])
def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path, file: str
) -> None:
    client("load", NAME, cache_dir=tmp_path)
    (entry,) = tmp_path.rglob(f"snapshots/*/{file}")
    entry.resolve().write_bytes(entry.read_bytes()[:1000])
    offline = client("load", NAME, cache_dir=tmp_path, local_files_only=True)
    assert offline.error in ("ConfigError", "WeightsError")
    assert str(entry) in offline.message
    assert client("load", NAME, cache_dir=tmp_path).value == default
    assert entry.read_bytes() == (BUNDLED / "fast" / file).read_bytes()


def test_other_weights_under_the_same_commit_are_never_used(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    """The commit is rewritten on the Hub, so that even the name of the content is another."""
    (commit,) = hub.repositories[NAME].commits.values()
    right = commit.files[WEIGHTS]
    commit.files[WEIGHTS] = right[:-1] + bytes([right[-1] ^ 1])
    outcome = client("load", NAME, cache_dir=tmp_path)
    assert (outcome.error, "SHA-256" in outcome.message) == ("WeightsError", True), outcome
    assert len(weights_read(hub)) == 2
    commit.files[WEIGHTS] = right
    assert client("load", NAME, cache_dir=tmp_path).value == default


def test_a_connection_that_is_cut_is_tried_again(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    with hub.failing(LARGE, cut):
        outcome = client("load", NAME, cache_dir=tmp_path)
    assert (outcome.error, "closed" in outcome.message) == ("HubError", True), outcome
    assert len(weights_read(hub)) == 6
    assert outcome.seconds < 15
    assert not [path for path in tmp_path.rglob("*safetensors*") if ".locks" not in path.parts]
    assert client("load", NAME, cache_dir=tmp_path).value == default


def test_a_download_goes_on_where_it_was_cut(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    # The client asks for 10 MiB at a time: a network needs more to be cut behind them.
    single = with_random_weights(EmotionRecognizer("resnet18"))
    single.save_pretrained(tmp_path / "single")
    hub.add(NAME, tmp_path / "single")
    late = functools.partial(cut, share=0.95)
    with hub.failing(LARGE, once(late)):
        outcome = client("load", NAME, cache_dir=tmp_path)
    expected = fingerprint(EmotionRecognizer.from_pretrained(tmp_path / "single"))
    assert outcome.value == expected, outcome.message
    ranges = [
        request.headers.get("range") for request in hub.requests if "/storage/" in request.path
    ]
    assert ranges == [None, f"bytes={10 * 2**20}-", None], "weights twice, the graph once"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "fault", "error", "part", "seconds"),
    [
        (API, ignore, "HubError", "timed out", AT_ONCE),
        ("HEAD .*/config.json", instead(refusal(503, "Busy")), "HubError", "503", 90),
        (LARGE, stall, "HubError", "timed out", 60),
        (LARGE, instead(refusal(429, "Slow down")), "HubError", "Too many requests", 90),
    ],
)
def test_a_hub_that_keeps_failing_is_given_up(
    hub: Hub,
    default: dict[str, Any],
    tmp_path: Path,
    pattern: str,
    fault: Fault,
    error: str,
    part: str,
    seconds: float,
) -> None:
    impatient = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    client = HubClient(hub.url, tmp_path, **impatient)
    with hub.failing(pattern, fault):
        outcome = client("load", NAME)
    assert (outcome.error, part in outcome.message) == (error, True), outcome
    assert outcome.seconds < seconds
    client.close()
    client = HubClient(hub.url, tmp_path)
    assert client("load", NAME).value == default
    client.close()


def test_a_model_that_is_too_large_for_the_hub_loads_from_a_folder_alone(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path
) -> None:
    size = (BUNDLED / "fast" / WEIGHTS).stat().st_size
    outcome = client("with_hub_limit", size - 1, "load", NAME, cache_dir=tmp_path)
    assert (outcome.error, f"the limit is {size - 1}" in outcome.message) == (
        "HubError",
        True,
    ), outcome
    assert weights_read(hub) == []
    assert client("with_hub_limit", size, "load", NAME, cache_dir=tmp_path).value == default
    folder = shutil.copytree(BUNDLED / "fast", tmp_path / "fast")
    assert client("with_hub_limit", 1, "load", str(folder)).value == default


# Hostile repositories and servers


def downloads(hub: Hub, file: str) -> list[str]:
    return [line for line in hub.lines if line.startswith("GET") and line.endswith(f"/{file}")]


@pytest.mark.parametrize(
    ("file", "limit"),
    [
        ("config.json", MAX_CONFIG_BYTES),
        ("training.json", MAX_RECORD_BYTES),
        (GRAPH, MAX_GRAPH_BYTES),
    ],
)
def test_a_file_that_is_too_large_is_not_downloaded(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path, file: str, limit: int
) -> None:
    files = read_folder(BUNDLED / "fast")
    hub.repositories[NAME].commit({**files, file: bytes(limit + 1)})
    outcome = client("load", NAME, cache_dir=tmp_path)
    assert downloads(hub, file) == []
    if file == "training.json":
        assert outcome.value == default | {"training": repr(TrainingRecord())}
    else:
        assert outcome.error == "HubError", outcome
        assert (
            f"{file} of {NAME} has {limit + 1} bytes, and the limit is {limit}" in outcome.message
        )


def test_a_push_does_not_download_a_config_that_is_too_large(hub: Hub, client: HubClient) -> None:
    hub.repositories[NAME].commit({"config.json": bytes(MAX_CONFIG_BYTES + 1)})
    outcome = client("push", "fast", NAME, token=WRITER)
    assert (outcome.error, "the limit" in outcome.message) == ("HubError", True), outcome
    assert downloads(hub, "config.json") == []


def test_weights_that_are_too_large_together_are_not_downloaded(
    hub: Hub, client: HubClient, pair: Path, tmp_path: Path
) -> None:
    hub.add(NAME, pair)
    arrays = EmotionRecognizer.from_pretrained(pair).weights["a"].values()
    first = sum(array.nbytes for array in arrays)
    size = (pair / "b.safetensors").stat().st_size
    outcome = client("with_hub_limit", first + size - 1, "load", NAME, cache_dir=tmp_path)
    assert outcome.error == "HubError", outcome
    assert f"b.safetensors of {NAME} has {size} bytes, and the limit is" in outcome.message
    assert len(weights_read(hub)) == 1


@pytest.mark.parametrize("pattern", ["HEAD .*/config.json$", f"HEAD .*/{WEIGHTS}$"])
def test_a_file_without_a_size_is_not_downloaded(
    hub: Hub, client: HubClient, tmp_path: Path, pattern: str
) -> None:
    with hub.failing(pattern, endless):
        outcome = client("load", NAME, cache_dir=tmp_path)
    assert (outcome.error, "does not announce its size" in outcome.message) == (
        "HubError",
        True,
    ), outcome
    assert weights_read(hub) == []


@pytest.mark.parametrize("pattern", ["GET .*/config.json$", "GET /storage/"])
def test_a_file_that_is_larger_than_announced_is_cut(
    hub: Hub, client: HubClient, default: dict[str, Any], tmp_path: Path, pattern: str
) -> None:
    hub.sent = 0
    with hub.failing(pattern, endless):
        outcome = client("load", NAME, cache_dir=tmp_path)
    assert (outcome.error, "more bytes than announced" in outcome.message) == (
        "HubError",
        True,
    ), outcome
    # The client asks for 10 MiB at a time.
    assert 0 < hub.sent < 2**25
    assert not list(tmp_path.rglob("*.incomplete"))
    assert client("load", NAME, cache_dir=tmp_path).value == default


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        (API, drip),
        (CONFIG, drip_headers),
        ("GET .*/config.json", drip),
        (LARGE, drip),
        (LARGE, instead(refusal(429, "Wait", **{"Retry-After": "86400"}))),
    ],
    ids=["api", "headers", "config", "weights", "retry after"],
)
def test_a_server_that_is_too_slow_is_given_up(
    hub: Hub, tmp_path: Path, pattern: str, fault: Fault
) -> None:
    # A process of its own: a request that is given up goes on until the server ends it.
    client = HubClient(hub.url, tmp_path)
    with hub.failing(pattern, fault):
        outcome = client("impatient", 2, "load", NAME)
    client.close()
    assert (outcome.error, "was given up after 2 s" in outcome.message) == ("HubError", True), (
        outcome
    )


OUT = "../../../../out"


@pytest.mark.parametrize(
    ("pattern", "fault", "part"),
    [
        (CONFIG, with_headers(ETag=f'"{OUT}"'), "its ETag"),
        (CONFIG, with_headers(ETag="W/" + OUT), "its ETag"),
        (CONFIG, with_headers(ETag='"a\\b"'), "its ETag"),
        (CONFIG, with_headers(ETag=""), "its ETag"),
        (f"HEAD .*/{WEIGHTS}", with_headers(X_Linked_Etag=f'"{OUT}"'), "its ETag"),
        (CONFIG, with_headers(X_Repo_Commit=OUT), "the commit"),
        (CONFIG, with_headers(X_Repo_Commit="1" * 40), "the commit"),
        (API, instead(as_json({"id": NAME, "sha": OUT, "siblings": []})), "the commit"),
    ],
    ids=["etag", "weak", "backslash", "empty", "large", "commit", "other commit", "api"],
)
def test_a_hostile_server_chooses_no_file_names(
    hub: Hub, client: HubClient, tmp_path: Path, pattern: str, fault: Fault, part: str
) -> None:
    cache = tmp_path / "a" / "cache"
    with hub.failing(pattern, fault):
        outcome = client("load", NAME, cache_dir=cache)
    assert (outcome.error, part in outcome.message) == ("HubError", True), outcome
    written = {path for path in tmp_path.rglob("*") if not path.is_relative_to(cache)}
    assert written <= {tmp_path / "a"}
    assert not [path for path in cache.rglob("*") if "out" in path.name]


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": f'"{OUT}"', "X-Linked-Etag": f'"{OUT}"'},
        {"X-Repo-Commit": OUT},
        {"Content-Length": "1", "X-Linked-Size": "1"},
    ],
    ids=["etag", "commit", "size"],
)
def test_a_hostile_server_can_t_answer_differently_later(
    hub: Hub,
    client: HubClient,
    default: dict[str, Any],
    tmp_path: Path,
    headers: dict[str, str],
) -> None:
    cache = tmp_path / "a" / "cache"
    seen: Counter[str] = Counter()

    def later(handler: Any, do: Callable[[], Answer]) -> None:
        seen[handler.path] += 1
        answer = do()
        given = headers if seen[handler.path] > 1 else {}
        handler.send(replace(answer, headers={**answer.headers, **given}))

    with hub.failing("HEAD ", later):
        outcome = client("load", NAME, cache_dir=cache)
    written = {path for path in tmp_path.rglob("*") if not path.is_relative_to(cache)}
    assert written == {tmp_path / "a"}
    assert outcome.value == default, outcome
    assert set(seen.values()) == {1}


def test_a_plugin_s_file_is_bounded_too(hub: Hub, client: HubClient) -> None:
    with hub.failing("HEAD ", with_headers(ETag=f'"{OUT}"')):
        outcome = client("locate", f"hf://{NAME}/README.md")
    assert (outcome.error, "its ETag" in outcome.message) == ("HubError", True), outcome
    with hub.failing("HEAD ", lambda handler, do: handler.start(do(), size=2**40)):
        outcome = client("locate", f"hf://{NAME}/README.md")
    assert (outcome.error, str(2**40) in outcome.message) == ("HubError", True), outcome
    assert downloads(hub, "README.md") == []


# Sharing


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The bundled model as save_pretrained writes it."""
    EmotionRecognizer.from_pretrained("fast").save_pretrained(
        tmp_path / "saved", title="me/mine", dtype="float16"
    )
    return tmp_path / "saved"


def test_what_arrives_is_what_save_pretrained_writes_and_can_be_loaded(
    hub: Hub, client: HubClient, saved: Path, tmp_path: Path
) -> None:
    pushed = client(
        "push",
        "fast",
        "me/mine",
        token=WRITER,
        dtype="float16",
        private=True,
        commit_message="First",
    )
    mine = hub.repositories["me/mine"]
    assert pushed.value == mine.refs["main"], pushed
    commit = mine.commits[pushed.value]
    assert commit.files.keys() == FILES | {".gitattributes"}
    assert {name: commit.files[name] for name in FILES} == read_folder(saved)
    assert commit.message == "First"
    assert mine.private
    for request in hub.requests:
        if "/storage/" in request.path:
            assert request.token is None
        else:
            assert request.headers["user-agent"].startswith(USER_AGENT)
            assert request.token == WRITER
    loaded = client("load", "me/mine", revision=pushed.value, cache_dir=tmp_path, token=READER)
    assert loaded.value == fingerprint(EmotionRecognizer.from_pretrained(saved))
    # The same once more is no new commit, and nothing is uploaded.
    hub.requests.clear()
    again = client("push", "fast", "me/mine", token=WRITER, dtype="float16")
    assert again.value == pushed.value
    assert not [line for line in hub.lines if line.startswith("PUT")]


def test_another_model_leaves_nothing_of_the_last_but_what_people_added(
    hub: Hub, client: HubClient, pair: Path, tmp_path: Path
) -> None:
    repository = hub.repositories[NAME]
    people = dict.fromkeys(
        ("x/b.safetensors", "exported.onnx", "example.jpg", ".gitattributes"), b""
    )
    repository.commit({**read_folder(BUNDLED / "fast"), **people})
    count = len(repository.commits)
    pushed = client("push", str(pair), NAME, token=WRITER, dtype="float16")
    files = repository.commits[pushed.value].files
    networks = {f"{name}.{kind}" for name in "ab" for kind in ("onnx", "safetensors")}
    ours = {"README.md", "config.json", *networks}
    assert files.keys() == ours | people.keys()
    assert len(repository.commits) == count + 1
    expected = fingerprint(EmotionRecognizer.from_pretrained(pair))
    assert client("load", NAME, cache_dir=tmp_path).value["weights"] == expected["weights"]


def test_a_model_that_the_hub_could_not_give_back_is_not_pushed(
    hub: Hub, client: HubClient
) -> None:
    outcome = client("with_hub_limit", 2**20, "push", "fast", "me/mine", token=WRITER)
    assert (outcome.error, "loads up to 1.0 MiB from the Hub" in outcome.message) == (
        "WeightsError",
        True,
    ), outcome
    assert hub.lines == []


CREATE, COMMIT, UPLOAD = "POST /api/repos/create", "POST .*/commit/main", "PUT /storage/"


@pytest.mark.parametrize(
    ("token", "pattern", "fault", "part"),
    [
        (None, None, None, "401"),
        ("hf_wrong", None, None, "401"),
        (READER, None, None, "403"),
        (WRITER, CREATE, instead(refusal(500, "Oops")), "500"),
        (WRITER, CREATE, hang_up, "disconnected"),
        (WRITER, COMMIT, instead(refusal(403, "No")), "403"),
        (WRITER, COMMIT, instead(refusal(500, "Oops")), "500"),
        (WRITER, COMMIT, hang_up, "disconnected"),
        (WRITER, UPLOAD, instead(refusal(403, "Expired")), Path(WEIGHTS).stem),
    ],
)
def test_a_push_that_fails_is_said_and_the_next_one_succeeds(
    hub: Hub,
    client: HubClient,
    token: str | None,
    pattern: str | None,
    fault: Fault | None,
    part: str,
) -> None:
    with hub.failing(pattern or "^$", fault or hang_up):
        outcome = client("push", "fast", "me/mine", token=token, dtype="float16")
    assert (outcome.error, part in outcome.message) == ("HubError", True), outcome
    assert "hf_" not in outcome.message
    assert outcome.seconds < AT_ONCE
    mine = hub.repositories.get("me/mine", Repository())
    assert not [commit for commit in mine.commits.values() if "config.json" in commit.files]
    pushed = client("push", "fast", "me/mine", token=WRITER, dtype="float16")
    assert pushed.value == hub.repositories["me/mine"].refs["main"], pushed
    # What had arrived is not uploaded twice.
    uploads = [line for line in hub.lines if line.startswith("PUT")]
    assert len(set(uploads)) == 2, "weights and graph"
    assert pattern == UPLOAD or len(uploads) == 2


def test_a_push_whose_answer_is_lost_can_be_done_again(hub: Hub, client: HubClient) -> None:
    with hub.failing(COMMIT, hang_up_afterwards):
        assert client("push", "fast", "me/mine", token=WRITER).error == "HubError"
    mine = hub.repositories["me/mine"]
    assert client("push", "fast", "me/mine", token=WRITER).value == mine.refs["main"]
    assert len(mine.commits) == 2


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["POST .*/preupload/", UPLOAD])
@pytest.mark.parametrize("fault", [instead(refusal(500, "Oops")), hang_up], ids=["500", "hang up"])
def test_an_upload_that_keeps_failing_is_given_up(
    hub: Hub, client: HubClient, pattern: str, fault: Fault
) -> None:
    with hub.failing(pattern, fault):
        outcome = client("push", "fast", "me/mine", token=WRITER, dtype="float16")
    assert outcome.error == "HubError", outcome
    # Weights and graph are uploaded one by one or side by side.
    tries = Counter(line for line in hub.lines if re.search(pattern, line))
    assert max(tries.values()) == 6
    assert outcome.seconds < 90
    assert client("push", "fast", "me/mine", token=WRITER, dtype="float16").value


RESULTS = {
    "task": {"type": "image-classification", "name": "Facial expression recognition"},
    "dataset": {"name": "FER-2013", "type": "fer2013", "split": "PublicTest"},
}


def test_the_card_on_the_hub_has_metadata_that_the_client_reads(
    hub: Hub, client: HubClient
) -> None:
    client("push", "fast", "me/mine", token=WRITER, dtype="float16", license="mit")
    card = client("card", "me/mine")
    report = EmotionRecognizer.from_pretrained("fast").record.evaluation["PublicTest"]
    metrics = [
        {"type": "accuracy", "name": "Accuracy", "value": report.accuracy},
        {
            "type": "f1",
            "name": "Macro F1",
            "value": report.macro_f1,
            "args": {"average": "macro"},
        },
    ]
    assert card.value == {
        "library_name": "emonet",
        "license": "mit",
        "pipeline_tag": "image-classification",
        "tags": ["facial-expression-recognition", "emotion"],
        "datasets": ["fer2013"],
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": "me/mine", "results": [{**RESULTS, "metrics": metrics}]}],
    }, card


def test_a_card_says_how_to_load_the_model() -> None:
    config = EmotionRecognizer.from_pretrained("fast").config
    assert 'from_pretrained("me/mine")' in model_card(config, "me/mine")
    assert 'from_pretrained("path/to/this/folder")' in model_card(config, "default")
    assert 'me/mine")\nprint' not in model_card(config, 'me/mine")\nprint("')


def test_a_card_claims_no_more_than_is_known() -> None:
    model = EmotionRecognizer.from_pretrained("fast")
    title = "a: 'title' --- # \n"
    bare = ModelCard(model_card(model.config, title)).data.to_dict()
    assert bare.keys() == {"library_name", "pipeline_tag", "tags"}
    given = model_card(model.config, title, license="mit")
    data = ModelCard(given).data
    assert (data.license, data.datasets, data.eval_results) == ("mit", None, None)

    record = model.record
    report = record.evaluation["PublicTest"]
    elsewhere = replace(record, evaluation={"mine": replace(report, n=100)})
    data = ModelCard(model_card(model.config, title, elsewhere)).data
    assert data.datasets == ["fer2013"]
    assert {(r.dataset_type, r.dataset_split) for r in data.eval_results} == {("unknown", "mine")}
    assert data.model_name == title

    other = replace(record, data={"training": replace(record.data["training"], sha256="0" * 64)})
    for members, expected in (({"a": record}, ["fer2013"]), ({"a": record, "b": other}, None)):
        whole = TrainingRecord(members=members, evaluation=record.evaluation)
        data = ModelCard(model_card(model.config, title, whole)).data
        assert data.datasets == expected
        assert {r.dataset_type for r in data.eval_results} == {(expected or ["unknown"])[0]}


def test_the_page_about_the_hub_does_what_it_says(hub: Hub, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "hub.md"
    share, load, pinned = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.S | re.M)
    shutil.copytree(BUNDLED / "fast", tmp_path / "my_model")
    client = HubClient(hub.url, tmp_path, HF_TOKEN=WRITER)
    shared = client("run", share, str(tmp_path))
    assert shared.value == hub.repositories["me/emotions"].refs["main"] + "\n", shared
    assert client("card", "me/emotions").value["license"] == "mit"
    code = f"commit = {shared.value!r}.strip()\n" + load + pinned
    loaded = client("run", code, str(tmp_path))
    assert loaded.value == f"{EmotionRecognizer.from_pretrained('fast').labels}\n", loaded
    client.close()


@pytest.mark.parametrize("name", ["mine", "", "me/", "a/b/c"])
def test_a_name_that_is_none_makes_no_repository(hub: Hub, client: HubClient, name: str) -> None:
    with pytest.raises(ConfigError, match="is named 'org/name'"):
        EmotionRecognizer("resnet18").push_to_hub(name)  # said before anything is saved
    outcome = client("push", "fast", name, token=WRITER, dtype="float16")
    assert (outcome.error, repr(name) in outcome.message) == ("ConfigError", True), outcome
    assert hub.lines == []


class XetHub(Hub):
    """A Hub that keeps large files with Xet, whose server is a folder here.

    Xet's client speaks to the folder itself; the Hub's part is to say where it is.
    """

    def __init__(self, folder: Path, digests: dict[str, str]) -> None:
        self.place, self.digests = f"local://{folder}", digests
        self.announced: int | None = None
        super().__init__()

    def _route(self, request: Request) -> Answer:
        if "-token/" in request.path:
            expires = int(time.time()) + 3600
            access = {"casUrl": self.place, "accessToken": "token", "exp": expires}
            headers = {"X-Xet-Cas-Url": self.place, "X-Xet-Access-Token": "token"}
            headers["X-Xet-Token-Expiration"] = str(expires)
            return Answer(headers=headers, body=json.dumps(access).encode())
        answer = super()._route(request)
        if "X-Linked-Etag" in answer.headers:
            digest = self.digests[answer.headers["X-Linked-Etag"].strip('"')]
            name, commit = re.findall("/(.*)/resolve/(.*)/", request.path)[0]
            token = f"{self.url}/api/models/{name}/xet-read-token/{commit}"
            answer.headers.update({"X-Xet-Hash": digest, "X-Xet-Refresh-Route": token})
            if self.announced:
                answer.headers["X-Linked-Size"] = str(self.announced)
        return answer


@pytest.mark.slow
def test_xet_carries_a_model_there_and_back(tmp_path: Path, default: dict[str, Any]) -> None:
    import hf_xet

    files = [BUNDLED / "fast" / name for name in (WEIGHTS, GRAPH)]
    found = [part.hash for part in hf_xet.hash_files([str(file) for file in files])]
    contents = [file.read_bytes() for file in files]
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    (tmp_path / "xet").mkdir()
    hub = XetHub(tmp_path / "xet", dict(zip(names, found, strict=True)))
    # What a commit refers to is with Xet; the Hub itself needs only know that it is.
    hub.storage |= dict(zip(names, contents, strict=True))
    client = HubClient(hub.url, tmp_path, HF_HUB_DISABLE_XET="0")
    pushed = client("push", "fast", "me/mine", token=WRITER, dtype="float16")
    assert pushed.value == hub.repositories["me/mine"].refs["main"], pushed
    loaded = client("load", "me/mine", cache_dir=tmp_path / "cache")
    assert loaded.value["weights"] == default["weights"], loaded
    hub.announced = 1000
    cut = client("load", "me/mine", cache_dir=tmp_path / "other")
    client.close()
    hub.stop()
    assert cut.error == "WeightsError", "Xet ends a file at the announced size"
    (cached,) = (tmp_path / "other").rglob(f"snapshots/*/{WEIGHTS}")
    assert cached.stat().st_size == 1000
    assert not [line for line in hub.lines if "/storage/" in line or "lfs" in line]
    assert "Traceback" not in client.log


# Single files


def test_a_plugin_s_file_comes_from_the_hub_once(hub: Hub, client: HubClient) -> None:
    hub.repositories["org/files"] = Repository()
    commit = hub.repositories["org/files"].commit({"model.txt": b"content"})
    assert client("locate", f"hf://org/files@{commit}/model.txt").value == "content"
    assert all(request.headers["user-agent"].startswith(USER_AGENT) for request in hub.requests)
    hub.requests.clear()
    assert client("locate", f"hf://org/files@{commit}/model.txt").value == "content"
    assert hub.lines == []
    hub.stop()
    try:
        other = client("locate", "hf://org/other/model.txt")
        pinned = client("locate", f"hf://org/files@{'1' * 40}/model.txt")
    finally:
        hub.start()
    for outcome in (other, pinned):
        assert (outcome.error, "refused" in outcome.message) == ("HubError", True), outcome
        assert outcome.seconds < AT_ONCE

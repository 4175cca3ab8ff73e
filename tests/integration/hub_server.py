"""A Hub on loopback: what huggingface_hub's client asks of the real one, and faults to order."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

READER, WRITER = "hf_reader", "hf_writer"


@dataclass(frozen=True)
class Commit:
    """One state of a repository, and its hash when it was made."""

    oid: str
    files: dict[str, bytes]
    message: str


@dataclass
class Repository:
    """Commits by hash, and which of them branches and tags stand for."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str = "", ref: str = "main") -> str:
        """Add a commit with exactly these files, and move a branch or tag to it."""
        digest = hashlib.sha1(message.encode())
        for name, content in sorted(files.items()):
            digest.update(f"{name} {hashlib.sha256(content).hexdigest()}".encode())
        oid = self.refs[ref] = digest.hexdigest()
        self.commits[oid] = Commit(oid, dict(files), message)
        return oid

    def find(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass(frozen=True)
class Answer:
    """What a client is told."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


def refusal(status: int, message: str, code: str = "", **headers: str) -> Answer:
    """Refuse as the Hub does: a code for the client, and a message for people."""
    body = json.dumps({"error": message}).encode()
    named = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return Answer(status, {**named, **headers}, body)


def is_large(path: str) -> bool:
    """Whether the Hub keeps a file apart from git."""
    return path.endswith((".safetensors", ".onnx"))


def entity(path: str, content: bytes) -> str:
    """Return what names a content: SHA-256 of a large file, git's SHA-1 of others."""
    if is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


#: Given what does a request and answers it, treats the request in some other way.
Fault = Callable[["Handler", Callable[[], Answer]], None]


def instead(answer: Answer) -> Fault:
    """Answer this, and do nothing."""
    return lambda handler, _: handler.send(answer)


def once(fault: Fault) -> Fault:
    """Treat one request so, and those after it as they should be."""
    left = [fault]
    return lambda handler, do: left.pop()(handler, do) if left else handler.send(do())


def cut(handler: "Handler", do: Callable[[], Answer], share: float = 0.5) -> None:
    """Hang up within the body."""
    answer = do()
    handler.send(answer, part=int(share * len(answer.body)))


def stall(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Say nothing more from the middle of the body on."""
    cut(handler, do)
    handler.server.hub.released.wait(60)


def ignore(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Say nothing at all, and don't hang up."""
    handler.server.hub.released.wait(60)


def with_headers(**headers: str) -> Fault:
    """Answer with other headers; an underscore stands for a hyphen."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(handler: "Handler", do: Callable[[], Answer]) -> None:
        answer = do()
        handler.send(Answer(answer.status, {**answer.headers, **given}, answer.body))

    return fault


def endless(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Tell no size, and send zeros until the client hangs up."""
    handler.start(do(), size=None)
    if handler.command != "HEAD":
        with suppress(ConnectionError):
            while not handler.server.hub.released.is_set():
                handler.server.hub.sent += handler.wfile.write(bytes(2**16))


def drip(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Send the body byte by byte, faster than any timeout of a client."""
    answer = do()
    handler.start(answer, size=len(answer.body))
    drip_bytes(handler, answer.body)


def drip_headers(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Never get to the end of the headers."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    drip_bytes(handler, bytes(10_000).replace(b"\0", b"x"))


def drip_bytes(handler: "Handler", data: bytes) -> None:
    with suppress(ConnectionError):
        for byte in data:
            handler.wfile.write(bytes([byte]))
            if handler.server.hub.released.wait(0.05):
                break


def altered(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Send other bytes, as many as promised."""
    answer = do()
    handler.send(Answer(answer.status, answer.headers, bytes(len(answer.body))))


def hang_up(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Close the connection without a word."""


def hang_up_afterwards(handler: "Handler", do: Callable[[], Answer]) -> None:
    """Do what was asked, but don't say so."""
    do()


class Hub:
    """Repositories in memory behind two addresses: the Hub's, and the storage of large files."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.storage: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.released = threading.Event()
        self.sent = 0
        self._faults: list[tuple[re.Pattern[str], Fault]] = []
        self._servers = [Server(self, 0), Server(self, 0)]
        self.url, self.storage_url = (server.url for server in self._servers)

    def stop(self) -> None:
        """Refuse connections from now on."""
        for server in self._servers:
            server.close()

    def start(self) -> None:
        """Listen again where it did before."""
        self._servers = [Server(self, server.server_port) for server in self._servers]

    def add(self, name: str, folder: Path, **settings: bool) -> str:
        """Make a repository of a folder, and return its commit."""
        self.repositories[name] = Repository(**settings)
        return self.repositories[name].commit(read_folder(folder))

    @contextmanager
    def failing(self, pattern: str, fault: Fault) -> Iterator[None]:
        """Answer requests whose line matches a pattern with a fault."""
        self._faults.append((re.compile(pattern), fault))
        self.released.clear()
        try:
            yield
        finally:
            self._faults.clear()
            self.released.set()

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self.requests]

    def answer(self, handler: "Handler", request: Request) -> None:
        for pattern, fault in self._faults:
            if pattern.search(request.line):
                fault(handler, lambda: self._route(request))
                return
        handler.send(self._route(request))

    def _route(self, request: Request) -> Answer:
        for pattern, route in ROUTES:
            if match := re.fullmatch(pattern, request.line):
                return route(self, request, *map(unquote, match.groups()))
        return refusal(404, "Not found")

    def _refused(self, request: Request, name: str, *, write: bool = False) -> Answer | None:
        """Return why a request is refused, or None."""
        repository = self.repositories.get(name)
        if request.token not in (None, READER, WRITER):
            return refusal(401, "Invalid credentials in Authorization header")
        if repository is None or (repository.private and request.token is None):
            return refusal(404 if request.token else 401, "Repository not found", "RepoNotFound")
        if write and request.token != WRITER:
            return refusal(403, "You don't have the rights to write here")
        return None

    def info(self, request: Request, name: str, revision: str = "main") -> Answer:
        if refused := self._refused(request, name):
            return refused
        commit = self.repositories[name].find(revision)
        if commit is None:
            return refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        siblings = [{"rfilename": file} for file in commit.files]
        return as_json({"id": name, "sha": commit.oid, "siblings": siblings})

    def resolve(self, request: Request, name: str, revision: str, file: str) -> Answer:
        if refused := self._refused(request, name):
            return refused
        repository = self.repositories[name]
        if repository.gated and request.token != WRITER:
            return refusal(403, f"Access to model {name} is restricted", "GatedRepo")
        commit = repository.find(revision)
        if commit is None:
            return refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        headers = {"X-Repo-Commit": commit.oid}
        content = commit.files.get(file)
        if content is None:
            return refusal(404, "Entry not found", "EntryNotFound", **headers)
        tag = entity(file, content)
        if is_large(file):
            self.storage[tag] = content
            headers["Location"] = f"{self.storage_url}/storage/{tag}"
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{tag}"'}
            return Answer(302, headers)
        return Answer(200, {**headers, "ETag": f'"{tag}"'}, content)

    def read_storage(self, request: Request, tag: str) -> Answer:
        content = self.storage[tag]
        if "range" not in request.headers:
            return Answer(200, {"ETag": f'"{tag}"', "Accept-Ranges": "bytes"}, content)
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(206, {"Content-Range": span}, content[start:])

    def write_storage(self, request: Request, tag: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != tag:
            return refusal(400, "This is not what was announced")
        self.storage[tag] = request.body
        return Answer()

    def create(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        name = f"{asked['organization']}/{asked['name']}"
        answer = {"url": f"{self.url}/{name}"}
        if request.token not in (READER, WRITER):
            return refusal(401, "Invalid username or password.")
        if request.token != WRITER:
            return refusal(403, f"You don't have the rights to create a model under {name}")
        if name in self.repositories:
            return as_json({**answer, "error": "You already created this model repo"}, 409)
        private = asked.get("visibility") == "private"
        self.repositories[name] = Repository(private=private)
        self.repositories[name].commit({".gitattributes": b"*.safetensors lfs\n"}, "initial commit")
        return as_json(answer)

    def validate_card(self, request: Request) -> Answer:
        """Refuse a card without metadata, or with some of another type than the Hub's."""
        _, metadata, _ = json.loads(request.body)["content"].split("---\n", 2)
        card = yaml.safe_load(metadata)
        kinds = {"license": str, "tags": list, "datasets": list, "metrics": list}
        kinds |= {"pipeline_tag": str, "library_name": str, "model-index": list}
        errors = [
            {"message": f"{key}: {value!r}"}
            for key, value in card.items()
            if not isinstance(value, kinds.get(key, object))
        ]
        return as_json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, request: Request, name: str, branch: str) -> Answer:
        if refused := self._refused(request, name, write=True):
            return refused
        there = self.repositories[name].find(branch).files
        return as_json(
            {
                "files": [
                    {
                        "path": (path := file["path"]),
                        "uploadMode": "lfs" if is_large(path) else "regular",
                        "shouldIgnore": False,
                        "oid": entity(path, there[path]) if path in there else None,
                    }
                    for file in json.loads(request.body)["files"]
                ]
            }
        )

    def batch(self, request: Request, name: str) -> Answer:
        if refused := self._refused(request, name, write=True):
            return refused
        objects = []
        for item in json.loads(request.body)["objects"]:
            upload = {"href": f"{self.storage_url}/storage/{item['oid']}"}
            verify = {"href": f"{self.url}/api/verify"}
            new = item["oid"] not in self.storage
            objects.append(
                item | ({"actions": {"upload": upload, "verify": verify}} if new else {})
            )
        return as_json({"transfer": "basic", "objects": objects})

    def verify(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        kept = self.storage.get(asked["oid"])
        if kept is None or len(kept) != asked["size"]:
            return refusal(404, "There is no such object")
        return as_json({})

    def commit(self, request: Request, name: str, branch: str) -> Answer:
        if refused := self._refused(request, name, write=True):
            return refused
        repository = self.repositories[name]
        files, message = dict(repository.find(branch).files), ""
        for line in request.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.storage[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = repository.commit(files, message, branch)
        return as_json({"commitOid": oid, "commitUrl": f"{self.url}/{name}/commit/{oid}"})


NAME = r"([^/]+/[^/]+)"
ROUTES: tuple[tuple[str, Callable[..., Answer]], ...] = (
    (rf"GET /api/models/{NAME}", Hub.info),
    (rf"GET /api/models/{NAME}/revision/([^/]+)", Hub.info),
    (rf"(?:GET|HEAD) /{NAME}/resolve/([^/]+)/(.+)", Hub.resolve),
    (r"GET /storage/(\w+)", Hub.read_storage),
    (r"PUT /storage/(\w+)", Hub.write_storage),
    (r"POST /api/repos/create", Hub.create),
    (r"POST /api/validate-yaml", Hub.validate_card),
    (rf"POST /api/models/{NAME}/preupload/([^/]+)", Hub.preupload),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", Hub.batch),
    (r"POST /api/verify", Hub.verify),
    (rf"POST /api/models/{NAME}/commit/([^/]+)", Hub.commit),
)


class Server(ThreadingHTTPServer):
    """Listens on loopback until it is closed."""

    def __init__(self, hub: Hub, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.hub = hub
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request for each connection."""

    server: Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b"".join(iter(self._read_chunk, b""))
        request = Request(self.command, urlsplit(self.path).path, headers, body)
        self.server.hub.requests.append(request)
        self.server.hub.answer(self, request)

    do_HEAD = do_POST = do_PUT = do_GET

    def _read_chunk(self) -> bytes:
        chunk = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return chunk

    def start(self, answer: Answer, *, size: int | None) -> None:
        """Send an answer's headers; without a size, the end of the connection ends the body."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if size is not None or name != "X-Linked-Size":
                self.send_header(name, value)
        if size is not None:
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def send(self, answer: Answer, *, part: int | None = None) -> None:
        """Send an answer, or the first part of its body alone."""
        self.start(answer, size=len(answer.body))
        if self.command != "HEAD":
            self.wfile.write(answer.body[:part])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}

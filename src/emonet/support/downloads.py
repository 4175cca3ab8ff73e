"""Download files of bounded size in bounded time."""

import importlib.util
import re
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emonet.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.file_download import HfFileMetadata

#: How long a request may take; a download gets more, by its size and the minimum speed.
PATIENCE_SECONDS = 60
MIN_BYTES_PER_SECOND = 50_000

T = TypeVar("T")
#: The server's answer about the file that this thread downloads, after emonet's checks.
_checked: "ContextVar[HfFileMetadata]" = ContextVar("checked")


def in_time(call: Callable[[], T], name: str, size: int = 0) -> T:
    """Return a function's result; raise HubError if a transfer of this size takes too long.

    Clients restart their timeouts with every byte, so a server that sends single bytes could
    keep them busy forever. The function therefore runs in a thread that can be left behind.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="emonet-download", daemon=True)
    thread.start()
    seconds = PATIENCE_SECONDS + size / MIN_BYTES_PER_SECOND
    thread.join(seconds)
    if errors:
        raise errors.pop()  # an error that is kept here would keep its connection open
    if not results:
        raise _too_slow(name, seconds)
    return results[0]


def require_speed(name: str, size: int, seconds: float) -> None:
    """Raise HubError if so many bytes have come too slowly."""
    if seconds > PATIENCE_SECONDS + size / MIN_BYTES_PER_SECOND:
        raise _too_slow(name, seconds)


def _too_slow(name: str, seconds: float) -> HubError:
    return HubError(
        f"{name} was given up after {seconds:.0f} s: the server or the connection is too slow. "
        f"Try again later, or use another network"
    )


def require_size(name: str, size: int | None, max_bytes: int) -> None:
    """Raise HubError if a file has no size, or is larger than the limit."""
    if size is None or size < 0:
        raise HubError(f"{name} is not downloaded: the server does not announce its size")
    if size > max_bytes:
        raise HubError(
            f"{name} has {size} bytes, and the limit is {max_bytes}. Use another file, or ask its "
            f"author for a smaller one"
        )


def require_commit(commit: str | None, expected: str | None = None) -> None:
    """Raise HubError if a commit is no hash, or another one; it becomes a folder's name."""
    if not re.fullmatch(r"[0-9a-f]{40}", commit or "") or (expected or commit) != commit:
        wanted = expected or "40 hexadecimal digits"
        raise HubError(
            f"The answer does not come from the Hub: the commit must be {wanted}, got "
            f"{commit!r:.80}. Check HF_ENDPOINT and the proxy"
        )


def download_hub_file(
    client: "HfApi",
    repository: str,
    file: str,
    *,
    max_bytes: int,
    commit: str | None = None,
    revision: str | None = None,
    cache_dir: Path | None = None,
    damaged: Path | None = None,
) -> Path:
    """Download a file with the Hub's client into its cache, and return its path.

    The file belongs to a commit, or to a branch or tag. A damaged copy in the cache is replaced.

    Raises:
        HubError: the file is too large or has no size, its commit or ETag is unsafe, or the
            transfer takes too long. Errors of the client are raised as they are.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    name = f"{file} of {repository}"
    revision = commit or revision
    url = hf_hub_url(repository, file, revision=revision)
    # Without retries, so that an unreachable Hub is reported early.
    found = in_time(lambda: client.get_hf_file_metadata(url=url), name)
    size = found.size or 0
    require_size(name, found.size, max_bytes)
    require_commit(found.commit_hash, commit)
    # The client makes a file name of the ETag, which could lead out of the cache.
    if not re.fullmatch(r"[\w-]+", found.etag or "", re.ASCII):
        raise HubError(
            f"{name} is not downloaded: its ETag must consist of letters and digits, got "
            f"{found.etag!r:.80}. Check HF_ENDPOINT and the proxy"
        )
    if damaged:
        # The client downloads the content again, but keeps a link that leads elsewhere.
        damaged.unlink(missing_ok=True)
    stopped = threading.Event()

    class Progress(tqdm):
        def __init__(self, *arguments: Any, name: str = "", **options: Any) -> None:
            super().__init__(*arguments, name=name, **options)  # type: ignore[no-untyped-call]
            # Xet's client prints what a progress bar raises. It stops at the announced size.
            self.bounded, self.received = "xet" not in name, 0

        def update(self, n: float | None = 1) -> Any:
            self.received += int(n or 0)
            if self.bounded and (stopped.is_set() or self.received > size):
                raise HubError(f"{file} of {repository} has more bytes than announced, {size}")
            return super().update(n)

    def download() -> str:
        _checked.set(found)  # in the thread of in_time
        path: str = _downloads_without_requests().hf_hub_download(
            repository,
            file,
            revision=revision,
            cache_dir=cache_dir,
            force_download=damaged is not None,
            tqdm_class=Progress,
            endpoint=client.endpoint,
            token=client.token,
            headers=client.headers,
            user_agent=client.user_agent,
            library_name=client.library_name,
            library_version=client.library_version,
        )
        return path

    try:
        path = in_time(download, name, size)
    finally:
        stopped.set()
    return Path(path)


@cache
def _downloads_without_requests() -> Any:
    """Return the client's module for downloads, with emonet's look-up of a file in its place.

    The client would ask for the size, the ETag and the commit again, directly before it makes file
    names of them. A hostile server could answer differently then. The module is a copy, so that
    other users of the client get the client as it is.
    """
    spec = importlib.util.find_spec("huggingface_hub.file_download")
    if spec is None or spec.loader is None:
        raise HubError("huggingface_hub is damaged: reinstall it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.get_hf_file_metadata = lambda **_: _checked.get()  # type: ignore[attr-defined]
    # A list of files on the disk, from earlier answers of a server.
    module.read_tree_cache = lambda *_: None  # type: ignore[attr-defined]
    return module

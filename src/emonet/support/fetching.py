"""Locate files for plugins: on this machine, on the Hugging Face Hub, or on the web."""

import hashlib
import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from emonet.errors import ConfigError, HubError, ModelNotFoundError, WeightsError
from emonet.support.downloads import (
    download_hub_file,
    in_time,
    require_size,
    require_speed,
)
from emonet.support.files import atomic_write
from emonet.support.versions import emonet_version

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from huggingface_hub import HfApi

logger = logging.getLogger("emonet")

#: How long to wait for a web server.
TIMEOUT_SECONDS = 30
#: Largest file that a plugin may download.
MAX_FILE_BYTES = 2 * 2**30


def locate_file(source: str, *, sha256: str | None = None) -> Path:
    """Return a file's local path; download a remote file once and cache it.

    Args:
        source: a path; ``hf://org/name/file`` or ``hf://org/name@revision/file`` on the
            Hugging Face Hub; or an ``https://`` or ``http://`` URL, whose file is cached in
            the folder of Keras (``KERAS_HOME``, by default ``~/.keras``). A remote file may have
            2 GiB, and must come at 50 kB/s at least.
        sha256: expected digest of the file; None skips the check.

    Raises:
        ConfigError: source has none of these forms.
        ModelNotFoundError: there is no file at the path.
        HubError: the file can't be downloaded.
        WeightsError: the file has another digest.
    """
    if not isinstance(source, str):
        raise ConfigError(f"A file must be given as a path or a URL, got {source!r}")
    if source.startswith("hf://"):
        path = _from_hub(source)
    elif source.startswith(("https://", "http://")):
        path = _from_web(source)
    else:
        path = Path(source).expanduser()
        if not path.is_file():
            raise ModelNotFoundError(f"There is no file {path}")
    if sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise WeightsError(
                f"{path} is not the expected file: its SHA-256 is {found}, expected {sha256}. "
                f"Delete it and try again."
            )
    return path


def hub_client(token: str | None = None) -> "HfApi":
    """Return a client of the Hub that sends emonet's name and version."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

    # Otherwise the client tells the Hub which AI agent runs it, if any.
    if "HF_HUB_DISABLE_TELEMETRY" not in os.environ:
        constants.HF_HUB_DISABLE_TELEMETRY = True

    class Client(HfApi):
        def repo_info(self, *arguments: Any, **options: Any) -> Any:
            # By default, the client waits forever for a Hub that does not answer.
            return super().repo_info(*arguments, **{"timeout": HF_HUB_ETAG_TIMEOUT, **options})

    return Client(token=token, library_name="emonet", library_version=emonet_version())


def _from_hub(source: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    parts = re.fullmatch(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)", source)
    if parts is None:
        raise ConfigError(f"A file on the Hub must be written hf://org/name/file, got {source!r}")
    repository, revision, file = parts.groups()
    cached = None
    try:
        cached = try_to_load_from_cache(repository, file, revision=revision)
        # The file of a commit never changes.
        if isinstance(cached, str) and revision and re.fullmatch(r"[0-9a-f]{40}", revision):
            return Path(cached)
        return download_hub_file(
            hub_client(), repository, file, revision=revision, max_bytes=MAX_FILE_BYTES
        )
    except HubError:
        raise
    except Exception as error:
        # Besides its own errors, the client raises errors of its HTTP library and of the disk.
        if isinstance(cached, str):
            return Path(cached)  # of a branch or tag that can't be looked up now
        raise HubError(f"{source} can't be fetched: {type(error).__name__}: {error}") from error


def _from_web(source: str) -> Path:
    from urllib.parse import unquote, urlsplit
    from urllib.request import urlopen

    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "emonet"
    # Two URLs may have files of the same name.
    folder = cache / hashlib.sha256(source.encode()).hexdigest()[:16]
    file = folder / (Path(unquote(urlsplit(source).path)).name or "file")
    if file.is_file():
        return file
    logger.info("Downloading %s", source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        response = in_time(lambda: urlopen(source, timeout=TIMEOUT_SECONDS), source)  # noqa: S310  (http and https)
        with response, atomic_write(file) as new, new.open("wb") as target:
            _copy(response, target, source)
        return file
    except HubError:
        raise
    except Exception as error:
        raise HubError(f"{source} can't be fetched: {type(error).__name__}: {error}") from error


def _copy(response: "HTTPResponse", target: BinaryIO, source: str) -> None:
    """Copy an answer's body; raise an error if it is too large, too slow or not whole."""
    start, size, announced = time.monotonic(), 0, response.length
    require_size(source, announced or 0, MAX_FILE_BYTES)
    while data := response.read1():
        size += target.write(data)
        require_size(source, size, MAX_FILE_BYTES)
        require_speed(source, size, time.monotonic() - start)
    if announced not in (None, size):
        raise OSError(f"{size} bytes have come, of {announced}")

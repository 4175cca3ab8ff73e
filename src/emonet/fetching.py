"""Files that plugins name: on this machine, on the Hugging Face Hub, or at an address."""

import hashlib
import logging
import os
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emonet.errors import ConfigError, HubError, ModelNotFoundError, WeightsError
from emonet.files import beside

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["ask_hub_first", "hub_client", "locate_file"]

logger = logging.getLogger("emonet")

#: How long an address may say nothing.
TIMEOUT_SECONDS = 30


def locate_file(source: str, *, sha256: str | None = None) -> Path:
    """Return a file's path on this machine; what is elsewhere is fetched once and kept.

    Args:
        source: a path; ``hf://org/name/file`` or ``hf://org/name@revision/file`` on the
            Hugging Face Hub; or an ``https://`` or ``http://`` address, whose file is kept
            where Keras keeps its own (``KERAS_HOME``, by default ``~/.keras``).
        sha256: what the file must have, where that is known.

    Raises:
        ConfigError: the source is none of these.
        ModelNotFoundError: there is no file at the path.
        HubError: it can't be fetched.
        WeightsError: it is another file than the one that was meant.
    """
    if not isinstance(source, str):
        raise ConfigError(f"A file is given as a path or an address, got {source!r}")
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
                f"{path} is not the file that was meant: its SHA-256 is {found}, expected "
                f"{sha256}. Delete it and try again."
            )
    return path


def hub_client(token: str | None = None) -> "HfApi":
    """Return the Hub's client, which gives the Hub emonet's name and version.

    Args:
        token: for what is private; None: the one that the client is logged in with.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

    class Client(HfApi):
        def repo_info(self, *arguments: Any, **options: Any) -> Any:
            # The client's own would wait without end for a Hub that does not answer.
            return super().repo_info(*arguments, **{"timeout": HF_HUB_ETAG_TIMEOUT, **options})

    return Client(token=token, library_name="emonet", library_version=version("emonet"))


def ask_hub_first(
    client: "HfApi",
    repository: str,
    file: str,
    *,
    revision: str | None,
    cache_dir: Path | None = None,
) -> None:
    """Ask once about a file, unless it is in the cache, and raise what is wrong.

    To download it, the client asks seven times in half a minute where nobody answers, and
    waits for minutes where somebody listens and says nothing.
    """
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, cache_dir=cache_dir, revision=revision)
    if not isinstance(found, str):
        client.get_hf_file_metadata(url=hf_hub_url(repository, file, revision=revision))


def _from_hub(source: str) -> Path:
    parts = re.fullmatch(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)", source)
    if parts is None:
        raise ConfigError(f"A file on the Hub is written hf://org/name/file, got {source!r}")
    repository, revision, file = parts.groups()
    client = hub_client()
    try:
        ask_hub_first(client, repository, file, revision=revision)
        return Path(client.hf_hub_download(repository, file, revision=revision))
    except Exception as error:
        # Beside its own errors the client lets those of its transport and the disk through.
        raise HubError(f"{source} can't be fetched: {type(error).__name__}: {error}") from error


def _from_web(source: str) -> Path:
    from urllib.parse import unquote, urlsplit
    from urllib.request import urlopen

    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "emonet"
    # Files of one name from two addresses are two files.
    folder = cache / hashlib.sha256(source.encode()).hexdigest()[:16]
    file = folder / (Path(unquote(urlsplit(source).path)).name or "file")
    if file.is_file():
        return file
    logger.info("Fetching %s", source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            beside(file) as new,
            urlopen(source, timeout=TIMEOUT_SECONDS) as answer,  # noqa: S310  (http and https alone)
            new.open("wb") as taken,
        ):
            shutil.copyfileobj(answer, taken)
            if answer.length:
                raise OSError(f"the connection ended {answer.length} bytes too early")
        return file
    except Exception as error:
        raise HubError(f"{source} can't be fetched: {type(error).__name__}: {error}") from error

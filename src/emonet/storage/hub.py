"""Download from and upload to the Hugging Face Hub, with its own client, cache and settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from json import JSONDecodeError
from pathlib import Path
from typing import TypedDict

from emonet.errors import (
    ConfigError,
    EmonetError,
    HubError,
    ModelError,
    ModelNotFoundError,
    WeightsError,
)
from emonet.runtimes import RUNTIMES
from emonet.storage.config_json import MAX_CONFIG_BYTES
from emonet.storage.folder import CONFIG_FILE, MAX_HUB_BYTES, listed_files
from emonet.storage.record_json import RECORD_FILE
from emonet.support.downloads import download_hub_file, in_time, require_commit
from emonet.support.fetching import hub_client

#: Advice by the HTTP status of the Hub's answer.
_ADVICE = {
    401: "Log in with 'hf auth login', or pass a valid token.",
    403: "Log in with 'hf auth login', or pass a token with this permission.",
    429: "Too many requests: try again later, or log in for a higher limit.",
}


class HubAccess(TypedDict, total=False):
    """How to reach the Hub: folder for its files, token, and whether to use only that folder."""

    cache_dir: str | Path | None
    token: str | None
    local_files_only: bool


@dataclass(frozen=True, kw_only=True)
class HubRepository:
    """A repository, ``"org/name"``, at one commit, so that all files belong together.

    Without a folder for downloaded files, the Hub's client uses its own cache.
    """

    name: str
    commit: str
    cache_dir: Path | None = None
    token: str | None = field(default=None, repr=False)
    local_files_only: bool = False

    @classmethod
    def resolve(
        cls,
        name: str,
        *,
        revision: str | None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        local_files_only: bool = False,
    ) -> "HubRepository":
        """Return the repository at the current commit of a branch or tag; None is the main branch.

        If the Hub can't be reached, the commit comes from the cache.
        """
        client = hub_client(token)
        cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        with _emonet_errors(name):
            commit = in_time(
                lambda: (
                    client.resolve_revision(
                        name,
                        revision=revision,
                        cache_dir=cache_dir,
                        local_files_only=local_files_only,
                    ).resolved
                ),
                name,
            )
            require_commit(commit)
        return cls(
            name=name,
            commit=commit,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
        )

    def fetch(self, file: str, *, max_bytes: int, again: bool = False) -> Path:
        """Return the path of a file in the cache, downloaded if necessary.

        A larger file is refused before its download. ``again`` replaces a damaged copy.
        """
        from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        with _emonet_errors(self.name):
            entry = try_to_load_from_cache(self.name, file, self.cache_dir, self.commit)
            if entry is _CACHED_NO_EXIST:
                # A commit never changes, so the cached answer is final.
                raise EntryNotFoundError(f"{self.name} has no {file}")
            if isinstance(entry, str) and not again:
                return Path(entry)
            if self.local_files_only:
                raise LocalEntryNotFoundError(f"local_files_only is set, and {file} is missing")
            return download_hub_file(
                hub_client(self.token),
                self.name,
                file,
                commit=self.commit,
                max_bytes=max_bytes,
                cache_dir=self.cache_dir,
                damaged=Path(entry) if isinstance(entry, str) else None,
            )


def require_repository_name(name: str) -> None:
    """Raise ConfigError if a name has another form than ``"org/name"``.

    With a bare name, the Hub's client creates a repository of the user, then does not find it.
    """
    if not re.fullmatch(r"[^/]+/[^/]+", name):
        raise ConfigError(f"A repository on the Hub is named 'org/name', got {name!r}")


def push_folder(
    folder: Path, name: str, *, private: bool | None, commit_message: str, token: str | None
) -> str:
    """Upload a model folder as one commit, and return the commit's hash.

    The repository is created if necessary. Files of its old model are deleted, other files stay.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    client = hub_client(token)
    files = {path.name: path for path in sorted(folder.iterdir())}
    weights = [path for path in files.values() if path.suffix == RUNTIMES["keras"].suffix]
    size = sum(path.stat().st_size for path in weights)
    if size > MAX_HUB_BYTES:
        raise WeightsError(
            f"The weights have {size / 2**20:.1f} MiB, and emonet loads up to "
            f"{MAX_HUB_BYTES / 2**20:.1f} MiB from the Hub. Push with dtype='float16', or use "
            f"smaller or fewer networks"
        )
    with _emonet_errors(name):
        client.create_repo(name, private=private, exist_ok=True)
        existing = {sibling.rfilename for sibling in client.model_info(name).siblings or ()}
        obsolete = {RECORD_FILE}
        if CONFIG_FILE in existing:
            main = HubRepository.resolve(name, revision=None, token=token)
            config = main.fetch(CONFIG_FILE, max_bytes=MAX_CONFIG_BYTES)
            obsolete |= listed_files(config.parent).keys()
        commit = client.create_commit(
            name,
            operations=[
                *(CommitOperationAdd(file, path) for file, path in files.items()),
                *map(CommitOperationDelete, sorted(obsolete & existing - files.keys())),
            ],
            commit_message=commit_message,
        )
    return str(commit.oid)


@contextmanager
def _emonet_errors(repository: str) -> Iterator[None]:
    """Raise emonet's errors in place of the client's."""
    try:
        yield
    except EmonetError:
        raise
    except Exception as error:
        # The client also raises errors of its transport and of the disk.
        raise _emonet_error(repository, error) from error


def _emonet_error(repository: str, error: BaseException) -> ModelError:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        RevisionResolutionError,
    )

    if isinstance(error, LocalEntryNotFoundError | RevisionResolutionError):
        # The client falls back to its cache; the cause says why the download failed.
        if isinstance(error.__cause__, HfHubHTTPError):
            return _emonet_error(repository, error.__cause__)
        return HubError(
            f"{repository} is not in the local cache, and the Hub can't be reached: "
            f"{error.__cause__ or error}"
        )
    if isinstance(error, GatedRepoError):
        return HubError(
            f"{repository} is gated: request access on its page, and pass a token. {error}"
        )
    if isinstance(
        error,
        HFValidationError | RepositoryNotFoundError | RevisionNotFoundError | EntryNotFoundError,
    ):
        return ModelNotFoundError(
            f"The Hub has no such model, or the token has no access to it: {error}"
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        advice = _ADVICE.get(status, "Try again later." if status >= 500 else "")
        return HubError(f"The Hub refused the request for {repository}: {error} {advice}".rstrip())
    if isinstance(error, JSONDecodeError):
        return HubError(
            f"The answer for {repository} does not come from the Hub ({error}). Log in to your "
            f"network, or check HF_ENDPOINT and the proxy. Set HF_HUB_OFFLINE=1 to use only the "
            f"cache"
        )
    return HubError(
        f"The transfer of files of {repository} failed: {type(error).__name__}: {error}"
    )

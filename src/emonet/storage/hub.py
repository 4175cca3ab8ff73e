"""The Hugging Face Hub, through its own client, cache and settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from json import JSONDecodeError
from pathlib import Path

from emonet.errors import ConfigError, HubError, ModelError, ModelNotFoundError
from emonet.fetching import ask_hub_first, hub_client
from emonet.storage.folder import CONFIG_FILE, listed_files
from emonet.training.record import RECORD_FILE

__all__ = ["HubRepository", "push_folder", "require_repository_name"]

#: What to do where the Hub answers with one of these.
_ADVICE = {
    401: "Log in with 'hf auth login', or pass a token that is valid.",
    403: "Log in with 'hf auth login', or pass a token that has this right.",
    429: "It was asked too often: try again later, or log in, which allows more.",
}


@dataclass(frozen=True, kw_only=True)
class HubRepository:
    """A repository at one commit, so that all of its files belong together.

    Attributes:
        name: ``"org/name"``.
        commit: the commit's hash.
        cache_dir: where files are kept; None: the Hub client's own cache.
        token: for private repositories; None: the one that the client is logged in with.
        local_files_only: use the cache alone.
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
        cache_dir: Path | None,
        token: str | None,
        local_files_only: bool,
    ) -> "HubRepository":
        """Ask once which commit a branch or tag (None: the main branch) stands for now.

        Where the Hub can't be reached, the cache answers for what was fetched before.

        Raises:
            ModelNotFoundError: there is no such repository or revision.
            HubError: the Hub can't be reached or refuses, and the cache does not know.
        """
        client = hub_client(token)
        with _translated(name):
            commit = client.resolve_revision(
                name, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
            ).resolved
            if commit == revision and not local_files_only:
                # A commit stands for itself, so nobody was asked yet.
                ask_hub_first(client, name, CONFIG_FILE, revision=commit, cache_dir=cache_dir)
        return cls(
            name=name,
            commit=commit,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
        )

    def fetch(self, file: str, *, again: bool = False) -> Path:
        """Return a file from the cache, brought there first when needed.

        Args:
            file: its name in the repository.
            again: replace the cache's copy, which is damaged.

        Raises:
            ModelNotFoundError: the repository has no such file.
            HubError: it can't be fetched.
        """
        from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError

        client = hub_client(self.token)
        with _translated(self.name):
            entry = try_to_load_from_cache(self.name, file, self.cache_dir, self.commit)
            if entry is _CACHED_NO_EXIST:
                # A commit does not change, so nobody needs to be asked again.
                raise EntryNotFoundError(f"{self.name} has no {file}")
            if again and isinstance(entry, str) and not self.local_files_only:
                # The client fetches what is stored anew, but keeps an entry that leads elsewhere.
                client.repo_info(self.name, revision=self.commit)
                Path(entry).unlink(missing_ok=True)
            path = client.hf_hub_download(
                self.name,
                file,
                revision=self.commit,
                cache_dir=self.cache_dir,
                local_files_only=self.local_files_only,
                force_download=again,
            )
        return Path(path)


def require_repository_name(name: str) -> None:
    """Refuse a name that is not ``"org/name"``.

    Of a bare one the Hub's client would make a repository of the user's, and then not find it.

    Raises:
        ConfigError: it is another.
    """
    if not re.fullmatch(r"[^/]+/[^/]+", name):
        raise ConfigError(f"A repository on the Hub is named 'org/name', got {name!r}")


def push_folder(
    folder: Path, name: str, *, private: bool | None, commit_message: str, token: str | None
) -> str:
    """Upload a model folder as one commit, into a repository that is made when needed.

    The files of the model that the repository holds so far are deleted, other files stay.

    Returns:
        The commit's hash.

    Raises:
        HubError: the Hub can't be reached or refuses.
        ModelNotFoundError: nobody, or nobody with this token, may see the repository.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    client = hub_client(token)
    files = {path.name: path for path in sorted(folder.iterdir())}
    with _translated(name):
        client.create_repo(name, private=private, exist_ok=True)
        there = {sibling.rfilename for sibling in client.model_info(name).siblings or ()}
        replaced = {RECORD_FILE}
        if CONFIG_FILE in there:
            replaced |= listed_files(Path(client.hf_hub_download(name, CONFIG_FILE)).parent)
        commit = client.create_commit(
            name,
            operations=[
                *(CommitOperationAdd(file, path) for file, path in files.items()),
                *map(CommitOperationDelete, sorted(replaced & there - files.keys())),
            ],
            commit_message=commit_message,
        )
    return str(commit.oid)


@contextmanager
def _translated(repository: str) -> Iterator[None]:
    """Turn the client's errors into emonet's."""
    try:
        yield
    except Exception as error:
        # Beside its own errors the client lets those of its transport and the disk through.
        raise _as_ours(repository, error) from error


def _as_ours(repository: str, error: BaseException) -> ModelError:
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
        # What the client can't get it looks for in its cache; the cause tells why it couldn't.
        if isinstance(error.__cause__, HfHubHTTPError):
            return _as_ours(repository, error.__cause__)
        return HubError(
            f"{repository} is not in the local cache, and the Hub was not reached: "
            f"{error.__cause__ or error}"
        )
    if isinstance(error, GatedRepoError):
        return HubError(
            f"{repository} is gated: ask for access on its page, and pass a token. {error}"
        )
    if isinstance(
        error,
        HFValidationError | RepositoryNotFoundError | RevisionNotFoundError | EntryNotFoundError,
    ):
        return ModelNotFoundError(
            f"The Hub has no such model, or this token may not see it: {error}"
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        advice = _ADVICE.get(status, "Try again later." if status >= 500 else "")
        return HubError(f"The Hub did not do what was asked of {repository}: {error} {advice}")
    if isinstance(error, JSONDecodeError):
        return HubError(
            f"Something else than the Hub answered when it was asked for {repository}: log in to "
            f"the network that you are in, or see to HF_ENDPOINT and the proxy. HF_HUB_OFFLINE=1 "
            f"uses what is in the cache. ({error})"
        )
    return HubError(
        f"Exchanging files of {repository} with the Hub failed: {type(error).__name__}: {error}"
    )

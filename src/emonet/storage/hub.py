"""The Hugging Face Hub, through its own client, cache and settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from emonet.errors import HubError, ModelNotFoundError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["HubRepository", "push_folder"]


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
        with _translated(name):
            resolved = _client(token).resolve_revision(
                name, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
            )
        return cls(
            name=name,
            commit=resolved.resolved,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
        )

    def fetch(self, file: str, *, again: bool = False) -> Path:
        """Return a file from the cache, brought there first when needed.

        Args:
            file: its name in the repository.
            again: replace the cache's copy.

        Raises:
            ModelNotFoundError: the repository has no such file.
            HubError: it can't be fetched.
        """
        with _translated(self.name):
            path = _client(self.token).hf_hub_download(
                self.name,
                file,
                revision=self.commit,
                cache_dir=self.cache_dir,
                local_files_only=self.local_files_only,
                force_download=again,
            )
        return Path(path)


def push_folder(
    folder: Path, name: str, *, private: bool | None, commit_message: str, token: str | None
) -> str:
    """Upload a folder as one commit, into a repository that is made when needed.

    Returns:
        The commit's hash.

    Raises:
        HubError: the Hub can't be reached or refuses.
        ModelNotFoundError: nobody, or nobody with this token, may see the repository.
    """
    client = _client(token)
    with _translated(name):
        client.create_repo(name, private=private, exist_ok=True)
        commit = client.upload_folder(
            repo_id=name, folder_path=folder, commit_message=commit_message
        )
    return str(commit.oid)


def _client(token: str | None) -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="emonet", library_version=version("emonet"))


@contextmanager
def _translated(repository: str) -> Iterator[None]:
    """Turn the client's errors into emonet's."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        RevisionResolutionError,
    )

    try:
        yield
    except (LocalEntryNotFoundError, RevisionResolutionError) as error:
        raise HubError(
            f"{repository} is not in the local cache, and the Hub was not reached: {error}"
        ) from error
    except GatedRepoError as error:
        raise HubError(
            f"{repository} is gated: ask for access on its page, and pass a token. {error}"
        ) from error
    except (
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        RemoteEntryNotFoundError,
    ) as error:
        raise ModelNotFoundError(
            f"The Hub has no such model, or this token may not see it: {error}"
        ) from error
    except Exception as error:
        # Beside its own errors the client lets those of its transport and the disk through.
        raise HubError(
            f"Exchanging files of {repository} with the Hub failed: {type(error).__name__}: {error}"
        ) from error

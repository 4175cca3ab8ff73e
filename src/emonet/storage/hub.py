"""The Hugging Face Hub, through its own client, cache and settings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from emonet.errors import HubError, ModelNotFoundError

__all__ = ["download", "resolve_commit"]


def resolve_commit(repository: str, revision: str | None) -> str:
    """Return the commit that a revision stands for now, so that all files come from it.

    Without a connection, the cache answers for what was fetched before.

    Raises:
        ModelNotFoundError: there is no such repository or revision.
        HubError: the Hub can't be reached or refuses, and the cache does not know.
    """
    from huggingface_hub import hf_hub_download

    with _translated(repository):
        path = hf_hub_download(
            repository,
            "config.json",
            revision=revision,
            library_name="emonet",
            library_version=version("emonet"),
        )
    # The cache keeps each commit's files in a folder of the commit's name.
    return Path(path).parent.name


def download(repository: str, commit: str, files: Sequence[str]) -> Path:
    """Bring files of one commit into the cache and return their folder.

    Raises:
        ModelNotFoundError: the repository, commit or a file is not there.
        HubError: the Hub can't be reached or refuses.
    """
    from huggingface_hub import hf_hub_download

    with _translated(repository):
        paths = [
            hf_hub_download(
                repository,
                file,
                revision=commit,
                library_name="emonet",
                library_version=version("emonet"),
            )
            for file in files
        ]
    return Path(paths[0]).parent


@contextmanager
def _translated(repository: str) -> Iterator[None]:
    """Turn the client's errors into emonet's."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except LocalEntryNotFoundError as error:
        raise HubError(
            f"{repository} is not in the local cache, and the Hub can't be reached: {error}"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
        raise ModelNotFoundError(f"The Hub has no such model: {error}") from error
    except (HfHubHTTPError, OSError) as error:
        raise HubError(f"Fetching {repository} from the Hub failed: {error}") from error

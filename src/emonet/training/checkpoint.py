"""Save the state of a training run after every epoch, so that it can be resumed."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import TrainingError
from emonet.records import EpochRecord, ValidationFigures
from emonet.support.files import atomic_write, flush, lock_folder, sweep

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """Save and restore a training run in a folder.

    Arrays are written to a new file first. Then ``state.json``, which names their epoch, is
    replaced in one step. The arrays of that epoch are therefore always complete. ``identity``
    holds JSON values that identify the run. ``load`` raises an error if the saved values differ.
    """

    folder: Path
    identity: Mapping[str, Any]

    def load(self) -> tuple[list[EpochRecord], ValidationFigures | None]:
        """Return the finished epochs and the figures before training; ([], None) for a new run."""
        if not self._state.is_file():
            return [], None
        try:
            state = json.loads(self._state.read_text())
            identity = {**state["identity"]}
            history = [EpochRecord(**record) for record in state["history"]]
            start = None if state["start"] is None else ValidationFigures(**state["start"])
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{self._state} can't be read ({error}); delete {self.folder} to start again"
            ) from error
        mine = json.loads(json.dumps(self.identity))
        keys = dict.fromkeys((*mine, *identity))
        if differing := [key for key in keys if mine.get(key) != identity.get(key)]:
            raise TrainingError(
                f"{self.folder} holds a run with another {', '.join(differing)}; "
                f"choose another folder, or delete this one to start again"
            )
        return history, start

    def save(
        self,
        history: list[EpochRecord],
        last: Arrays,
        best: Arrays | None,
        *,
        start: ValidationFigures | None = None,
    ) -> None:
        """Save the state after the last epoch of the history.

        ``last`` holds the arrays that training needs to continue. ``best`` holds the weights of
        this epoch if they are the best so far, else None. If writing fails, the earlier state is
        kept.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.folder)
        epoch = history[-1].epoch
        arrays = {"last": last} if best is None else {"last": last, "best": best}
        for kind, part in arrays.items():
            _save(part, self._file(kind, epoch))
        state = {
            "identity": self.identity,
            "history": [asdict(record) for record in history],
            "start": None if start is None else asdict(start),
        }
        with atomic_write(self._state) as file:
            file.write_text(json.dumps(state, indent=1))
        for kind in arrays:
            for file in self.folder.glob(f"{kind}-*.safetensors"):
                if file != self._file(kind, epoch):
                    file.unlink()

    def load_last(self, epoch: int) -> dict[str, NDArray[Any]]:
        """Return the ``last`` arrays of an epoch."""
        return _load(self._file("last", epoch))

    def load_best(self, epoch: int) -> dict[str, NDArray[Any]]:
        """Return the ``best`` arrays of an epoch."""
        return _load(self._file("best", epoch))

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"

    def _file(self, kind: str, epoch: int) -> Path:
        return self.folder / f"{kind}-{epoch:04d}.safetensors"


@contextmanager
def one_training(folder: Path) -> Iterator[None]:
    """Create and lock a folder for one training; raise TrainingError if another training runs."""
    with ExitStack() as stack:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            stack.callback(_remove_if_empty, folder)
        try:
            stack.enter_context(lock_folder(folder))
        except BlockingIOError as error:
            raise TrainingError(
                f"Another training runs in {folder}: wait until it has ended, or choose another "
                f"folder"
            ) from error
        yield


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _save(arrays: Arrays, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        # ascontiguousarray would turn scalars, such as an optimiser's step count, into vectors.
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
        flush(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint {path} can't be written ({error}). Earlier epochs are saved: "
            f"free disk space, then start the same run again"
        ) from error


def _load(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint {path} can't be read ({error}); delete its folder to start again"
        ) from error

"""A run's state on disk: complete after every epoch, whenever the process dies."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import TrainingError
from emonet.files import beside, flush
from emonet.training.schedule import EpochRecord

__all__ = ["Checkpoint"]

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """Saves and restores a training run in a folder.

    Arrays are written under a new name first; then ``state.json``, which names the epoch
    that they belong to, is replaced in one step. So what it names is always there and whole.

    Attributes:
        folder: where; made when needed.
        identity: JSON values that make the run this one; another identity is refused.
    """

    folder: Path
    identity: Mapping[str, Any]

    def load(self) -> list[EpochRecord]:
        """Return the finished epochs; none if nothing was saved yet.

        Raises:
            TrainingError: the folder holds another run, or its state can't be read.
        """
        if not self._state.is_file():
            return []
        try:
            state = json.loads(self._state.read_text())
            identity = {**state["identity"]}
            history = [EpochRecord(**record) for record in state["history"]]
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{self._state} can't be read ({error}); delete {self.folder} to start anew"
            ) from error
        mine = json.loads(json.dumps(self.identity))
        keys = dict.fromkeys((*mine, *identity))
        if differing := [key for key in keys if mine.get(key) != identity.get(key)]:
            raise TrainingError(
                f"{self.folder} holds a run with another {', '.join(differing)}; "
                f"choose another folder, or delete this one to start anew"
            )
        return history

    def save(self, history: list[EpochRecord], last: Arrays, best: Arrays | None) -> None:
        """Save the state after the last epoch of a history.

        Args:
            history: every finished epoch.
            last: all that training needs to go on.
            best: the weights to keep, if this epoch's are the best so far.

        Raises:
            TrainingError: they can't be written; what was saved before is untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        epoch = history[-1].epoch
        _save(last, self._file("last", epoch))
        if best is not None:
            _save(best, self._file("best", epoch))
        state = {"identity": self.identity, "history": [asdict(record) for record in history]}
        with beside(self._state) as file:
            file.write_text(json.dumps(state, indent=1))
        self._delete_others("last", epoch)
        if best is not None:
            self._delete_others("best", epoch)

    def load_last(self, epoch: int) -> dict[str, NDArray[Any]]:
        """Return what was saved as ``last`` after an epoch.

        Raises:
            TrainingError: the file is missing or damaged.
        """
        return _load(self._file("last", epoch))

    def load_best(self, epoch: int) -> dict[str, NDArray[Any]]:
        """Return what was saved as ``best`` after an epoch.

        Raises:
            TrainingError: the file is missing or damaged.
        """
        return _load(self._file("best", epoch))

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"

    def _file(self, kind: str, epoch: int) -> Path:
        return self.folder / f"{kind}-{epoch:04d}.safetensors"

    def _delete_others(self, kind: str, epoch: int) -> None:
        for file in self.folder.glob(f"{kind}-*.safetensors"):
            if file != self._file(kind, epoch):
                file.unlink()


def _save(arrays: Arrays, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        # Not ascontiguousarray, which makes rows of scalars, such as an optimiser's step count.
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
        flush(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint {path} can't be written ({error}). The epochs before it are kept: "
            f"once there is room, the same run goes on from there"
        ) from error


def _load(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint {path} can't be read ({error}); delete its folder to start anew"
        ) from error

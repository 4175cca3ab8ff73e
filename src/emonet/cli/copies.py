"""Annotated copies of images, for ``emonet predict --save-annotated``."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from emonet.drawing.png import is_annotated, save_annotated
from emonet.errors import EmonetError, InputError
from emonet.results import ImageResult

logger = logging.getLogger("emonet")


class Copies:
    """A folder of annotated copies, with the sub-folders of the originals.

    Attributes:
        failed: how many copies could not be written.
    """

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        """Make the folder.

        Args:
            folder: where the copies go.
            files: the images, with the path of each copy in the folder.

        Raises:
            InputError: the folder holds an original.
        """
        self.failed = 0
        self._folder, self._files = folder, files
        self._taken: set[str] = set()
        if folder.is_dir():
            _require_other_folder(files, folder)
        folder.mkdir(parents=True, exist_ok=True)

    def saving(self, results: Iterable[ImageResult]) -> Iterator[ImageResult]:
        """Yield the results after writing their copies; log a copy that can't be written."""
        for result in results:
            if result.error is None and result.path is not None:
                try:
                    self._save(result, self._files[result.path])
                except (EmonetError, OSError) as error:
                    self.failed += 1
                    logger.error("No annotated copy of %s: %s", result.path, error)
            yield result

    def _save(self, result: ImageResult, relative: Path) -> None:
        target = self._folder / self._free_name(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        save_annotated(result.draw(), target)

    def _free_name(self, relative: Path) -> Path:
        """Return a path for a copy; it may replace an earlier copy, but no other file."""
        path, number = relative.with_name(f"{relative.stem}.png"), 1
        # Some file systems take A.png and a.png for the same file.
        while str(path).casefold() in self._taken or (
            (self._folder / path).exists() and not is_annotated(self._folder / path)
        ):
            number += 1
            path = relative.with_name(f"{relative.stem}-{number}.png")
        self._taken.add(str(path).casefold())
        return path


def _require_other_folder(files: Iterable[str], folder: Path) -> None:
    """Raise InputError if copies would be written into the folder of an original."""
    for file in map(Path, files):
        if file.exists() and file.parent.samefile(folder):
            raise InputError(
                f"--save-annotated {folder} contains the input {file}, and copies could replace "
                f"images there: choose another folder"
            )

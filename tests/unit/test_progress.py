"""A progress bar is for terminals only, whatever standard error is."""

import io
import sys
from typing import Any

import pytest

from emonet.support.progress import progress_bar


class OnlyWrites:
    def write(self, text: str) -> int:
        raise AssertionError(text)


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream",
    [None, OnlyWrites(), closed(), io.StringIO()],
    ids=["none", "only writes", "closed", "no terminal"],
)
def test_without_a_terminal_there_is_no_bar(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("Images", 3) as advance:
        advance()

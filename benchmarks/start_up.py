"""How long a new process takes until emonet is there."""

import subprocess
import sys

from benchmarks.timing import milliseconds

COMMANDS = {
    "python": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import emonet": ["-c", "import emonet"],
    "emonet --help": ["-m", "emonet", "--help"],
}


def run(*, quick: bool) -> dict:
    """Return milliseconds of whole processes."""
    return {
        name: milliseconds(
            lambda arguments=arguments: subprocess.run(
                [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL
            ),
            repeat=2 if quick else 9,
        )
        for name, arguments in COMMANDS.items()
    }

"""Public names and signatures are those that were agreed on, listed in public_api.txt.

After a change that is meant, ``python tests/unit/test_public_api.py`` writes the list anew.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import emonet
import emonet.errors
import emonet.plugin
import emonet.testing

LIST = Path(__file__).with_name("public_api.txt")
COMMAND = "python tests/unit/test_public_api.py"


def public_api() -> list[str]:
    """Return one line for each public name and each public method."""
    return [
        line
        for module in (emonet, emonet.errors, emonet.plugin, emonet.testing)
        for name in sorted(module.__all__)
        for line in described(module, name)
    ]


def described(module: ModuleType, name: str) -> Iterator[str]:
    value, path = getattr(module, name), f"{module.__name__}.{name}"
    ours = getattr(value, "__module__", "").startswith("emonet")
    if not ours or not callable(value):
        yield path
    elif not inspect.isclass(value):
        yield f"{path}{signature(value)}"
    elif issubclass(value, BaseException):
        yield f"{path} < {', '.join(base.__name__ for base in value.__bases__)}"
    else:
        yield path if Protocol in value.__bases__ else f"{path}{signature(value)}"
        for member, attribute in sorted(inspect.getmembers(value)):
            if not member.startswith("_"):
                shown = signature(attribute) if inspect.isroutine(attribute) else ""
                yield f"{path}.{member}{shown}"


def signature(value: Any) -> str:
    """Return names, kinds and defaults; annotations are written otherwise by each Python."""
    found = inspect.signature(value)
    bare = [part.replace(annotation=part.empty) for part in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


def test_public_names_and_signatures_are_those_listed() -> None:
    listed, found = LIST.read_text().splitlines(), public_api()
    gone, added = sorted(set(listed) - set(found)), sorted(set(found) - set(listed))
    assert listed == found, (
        f"The public API differs from {LIST.name}. Gone: {gone}. New: {added}. If that is meant, "
        f"and docs/reference/compatibility.md allows it: {COMMAND}"
    )


def test_nothing_in_the_list_depends_on_the_process() -> None:
    assert not [line for line in LIST.read_text().splitlines() if " at 0x" in line]


if __name__ == "__main__":
    LIST.write_text("\n".join(public_api()) + "\n")

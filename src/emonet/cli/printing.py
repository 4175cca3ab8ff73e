"""Text that strangers chose, such as names of files, for a terminal."""

__all__ = ["printable"]


def printable(text: object) -> str:
    """Return a text without what a terminal would obey; lines stay."""
    return "".join(
        char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in str(text)
    )

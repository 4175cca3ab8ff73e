"""Text that strangers chose, such as names of files, for a terminal."""

__all__ = ["printable"]


def printable(text: object) -> str:
    """Return a text without what a terminal would obey, such as the end of a line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))

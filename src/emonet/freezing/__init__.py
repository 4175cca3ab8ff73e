"""Freeze programs: PyInstaller finds its hook for emonet here, by an entry point."""

from pathlib import Path


def hook_folders() -> list[str]:
    """Return the folders of PyInstaller's hooks."""
    return [str(Path(__file__).parent / "hooks")]

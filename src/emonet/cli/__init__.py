"""The command line: one file per command, each parses, calls the API and prints."""

from emonet.cli.app import main

__all__ = ["main"]

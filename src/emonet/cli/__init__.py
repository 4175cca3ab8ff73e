"""The command line: one file per command, which parses options, calls the API and prints."""

from emonet.cli.app import main

__all__ = ["main"]

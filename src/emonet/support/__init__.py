"""Helpers for all other parts: files, cache, downloads, progress, optional packages."""

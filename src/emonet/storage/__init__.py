"""Model folders: one recognizer on disk, or a Hub repository with the same files."""

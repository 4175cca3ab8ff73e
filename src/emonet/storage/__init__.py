"""Model folders: a model on disk, or a Hub repository with the same files."""

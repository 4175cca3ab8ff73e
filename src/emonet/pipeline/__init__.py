"""What happens to a picture before any network: read, find faces, cut them out."""

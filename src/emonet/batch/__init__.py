"""Consumer: find the faces in millions of images, on one machine or on a cluster."""

from emonet.batch.files import Counts
from emonet.batch.run import Engine, run_batch

__all__ = ["Counts", "Engine", "run_batch"]

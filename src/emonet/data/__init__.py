"""Data sets: FER-2013's CSV file and folders of images, as faces with labels."""

from emonet.data.dataset import FaceDataset, Labelled, as_dataset, load_dataset
from emonet.data.face_filter import FaceCounts, FilterReport, filter_faces
from emonet.data.groups import load_groups

__all__ = [
    "FaceCounts",
    "FaceDataset",
    "FilterReport",
    "Labelled",
    "as_dataset",
    "filter_faces",
    "load_dataset",
    "load_groups",
]

"""What users have -> images, labels, split: FER-2013's CSV file and folders of images."""

from emonet.data.dataset import FaceDataset, Labelled, as_dataset, load_dataset
from emonet.data.face_filter import FaceCounts, FilterReport, filter_faces

__all__ = [
    "FaceCounts",
    "FaceDataset",
    "FilterReport",
    "Labelled",
    "as_dataset",
    "filter_faces",
    "load_dataset",
]

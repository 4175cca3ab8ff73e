"""What users have -> images, labels, split: FER-2013's CSV file and folders of images."""

from emonet.data.dataset import FaceDataset, Labelled, as_dataset, load_dataset

__all__ = ["FaceDataset", "Labelled", "as_dataset", "load_dataset"]

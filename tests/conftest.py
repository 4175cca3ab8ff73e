"""What the tests share. Nothing here needs the network or FER-2013."""

import atexit
import csv
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

# Set before huggingface_hub is imported, which reads them once: no test leaves this machine.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_OFFLINE"] = "0"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Keras reads this once too: its settings and downloads of whoever runs the tests stay out.
os.environ["KERAS_HOME"] = tempfile.mkdtemp(prefix="emonet-keras-")

from emonet import EmotionRecognizer, FaceDataset, Phase, Recipe, sample_photo
from emonet.labels import FER2013, FERPLUS
from emonet.registry import catalog as catalog_module
from emonet.results import Detection

atexit.register(shutil.rmtree, os.environ["KERAS_HOME"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the Hub's cache of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        for name in ("EMONET_DISABLE_PLUGINS", "EMONET_STRICT_PLUGINS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Take away the handler that the command line adds, whose stream ends with the test."""
    logger = logging.getLogger("emonet")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers = handlers
    logger.setLevel(level)


@pytest.fixture
def fresh_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discover plugins anew in this test, and again after it."""
    monkeypatch.setattr(catalog_module, "_catalog", None)


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """emonet's sample photo: a real colour photo of one smiling face, 400x400."""
    return sample_photo()


def make_faces(per_class: int, *, seed: int = 0, size: int = 48) -> FaceDataset:
    """Draw faces whose class shows: mouth and brows differ from class to class."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:48, 0:48]
    images, classes = [], []
    for kind in range(len(FER2013)):
        for _ in range(per_class):
            x, y = random.integers(-3, 4, 2)
            face = np.full((48, 48), 60.0)
            face[((columns - 24 - x) / 17) ** 2 + ((rows - 24 - y) / 21) ** 2 < 1] = 170
            for eye in (16, 32):
                face[(columns - eye - x) ** 2 + (rows - 18 - y) ** 2 < 8] = 40
                tilt = (kind % 3 - 1) * (1 if eye == 16 else -1)
                brow = np.abs(rows - 12 - y - tilt * (columns - eye - x) / 3) < 1
                face[brow & (np.abs(columns - eye - x) < 5)] = 50
            bend = (kind // 3 - 1) * ((columns - 24 - x) / 8) ** 2 * 4
            mouth = np.abs(rows - 34 - y + bend) < 1.5 + (kind == 5) * 3
            face[mouth & (np.abs(columns - 24 - x) < 8)] = 90
            face += random.normal(0, 6, face.shape)
            images.append(np.clip(face, 0, 255))
            classes.append(kind)
    stacked = np.stack(images).astype(np.uint8)
    if size != 48:
        import cv2

        stacked = np.stack([cv2.resize(face, (size, size)) for face in stacked])
    return FaceDataset(stacked, np.array(classes, np.int64), FER2013)


def write_fer2013(path: Path, splits: dict[str, FaceDataset]) -> Path:
    """Write data sets as FER-2013's Kaggle file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for usage, dataset in splits.items():
            for face, kind in zip(dataset.images, dataset.classes, strict=True):
                writer.writerow([kind, " ".join(map(str, face.ravel())), usage])
    return path


def write_votes(
    path: Path, votes: Iterable[Mapping[str, int]], usages: Sequence[str] = ("Training",)
) -> Path:
    """Write the file fer2013new.csv of FER+.

    Args:
        path: of the file.
        votes: of each row, from column names to counts.
        usages: the rows' splits, again and again.
    """
    columns = ["Usage", "Image name", *FERPLUS, "unknown", "NF"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval=0)
        writer.writeheader()
        for counts, usage in zip(votes, cycle(usages)):
            writer.writerow({"Usage": usage, **counts})
    return path


@pytest.fixture(scope="session")
def fer2013_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file in FER-2013's form with all three splits."""
    splits = {"Training": 20, "PublicTest": 6, "PrivateTest": 4}
    return write_fer2013(
        tmp_path_factory.mktemp("data") / "fer2013.csv",
        {name: make_faces(count, seed=i) for i, (name, count) in enumerate(splits.items())},
    )


#: A network and a recipe that learn to tell the drawn faces apart in seconds. dlib finds some of
#: these faces; YuNet takes them for what they are.
TINY = {"backbone": "resnet18", "backbone_config": {"width": 4}, "detector": "dlib_hog"}
TINY_RECIPE = Recipe(
    name="tiny",
    phases=(Phase(epochs=16, optimizer="adam", learning_rate=3e-3),),
    batch_size=20,
    monitor="val_accuracy",
)


@pytest.fixture(scope="session")
def tiny_recognizer() -> EmotionRecognizer:
    """A small network, really trained on drawn faces; don't change it."""
    return EmotionRecognizer(**TINY).fit(make_faces(20), make_faces(6, seed=1), recipe=TINY_RECIPE)


@pytest.fixture(scope="session")
def tiny_folder(
    tiny_recognizer: EmotionRecognizer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The small recognizer as a model folder; copy it before changing it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_recognizer.save_pretrained(folder)
    return folder


class FixedDetector:
    """A detector whose answer is given beforehand, or computed from the image."""

    def __init__(self, answer: Callable[[np.ndarray], list[Detection]]) -> None:
        self.detect = answer


class Tensor:
    """An array of another library: it has a shape, and NumPy can convert it."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, f"library.{array.dtype}"

    def __array__(self, dtype=None, copy=None):
        return self._array

    def __iter__(self):
        return (Tensor(part) for part in self._array)


class Frame:
    """A table like pandas': it is iterated by the names of its columns."""

    columns = ("path", "label")

    def __array__(self, dtype=None, copy=None):
        return np.array([["a.jpg", "anger"]], object)

    def __iter__(self):
        return iter(self.columns)

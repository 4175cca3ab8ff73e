"""Train a small network on a folder of face crops, one folder per class, and save it.

python examples/train_on_folder.py faces my_model

The folder contains train/CLASS/*.png. It may also contain validation, to choose the best epoch, and
test, to evaluate the model.
"""

import argparse
import shutil
from pathlib import Path

from emonet import EmotionRecognizer, FaceDataset, load_dataset


def load_split(folder: Path, split: str) -> FaceDataset | None:
    """Return a split of the folder, or None if it is missing; raise if it can't be read."""
    if not (folder / split).is_dir():
        print(f"no {split} faces: there is no folder {folder / split}")
        return None
    return load_dataset(folder, split)


def main() -> None:
    """Read the arguments, train, evaluate and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbone", default="resnet18", help="run 'emonet plugins' for a list")
    parser.add_argument("--epochs", type=int, help="by default the recipe's number")
    parser.add_argument("--width", type=int, help="first channels of resnet18 or vgg")
    arguments = parser.parse_args()

    train = load_dataset(arguments.folder, "train")
    validation = load_split(arguments.folder, "validation")
    test = load_split(arguments.folder, "test")

    settings = {} if arguments.width is None else {"width": arguments.width}
    recognizer = EmotionRecognizer(
        arguments.backbone, labels=train.labels, backbone_config=settings
    )
    checkpoints = arguments.out / "checkpoints"
    # Without validation data, fit holds out a tenth of the training faces.
    recognizer.fit(
        train,
        validation,
        recipe="scratch",
        epochs=arguments.epochs,
        checkpoint_dir=checkpoints,
    )
    if test is not None:
        report = recognizer.evaluate(test)
        recognizer.note_evaluation("test", report)
        low, high = report.accuracy_interval_95
        print(f"accuracy {report.accuracy:.1%}, 95 % interval {low:.1%} to {high:.1%}")
        for label, figures in report.per_class.items():
            print(f"{label:12} precision {figures.precision:.2f}, recall {figures.recall:.2f}")
    recognizer.save_pretrained(arguments.out)
    shutil.rmtree(checkpoints)
    print(f"saved to {arguments.out}")


if __name__ == "__main__":
    main()

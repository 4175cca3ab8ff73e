"""Trains a small network on a folder of face crops, one folder per class, and saves it.

python examples/train_on_folder.py faces my_model

The folder looks like faces/train/CLASS/*.png; faces/validation, if it is there, chooses the epoch,
and faces/test is evaluated on.
"""

import argparse
import shutil
from pathlib import Path

from emonet import EmotionRecognizer, FaceDataset, load_dataset


def load_split(folder: Path, split: str) -> FaceDataset | None:
    """Return one split of the folder; None if there is none, while a broken one is an error."""
    if not (folder / split).is_dir():
        print(f"without {split} faces: there is no folder {folder / split}")
        return None
    return load_dataset(folder, split)


def main() -> None:
    """Read the arguments, train, evaluate and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbone", default="resnet18", help="see emonet plugins")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's number")
    parser.add_argument("--width", type=int, help="channels that resnet18 or vgg starts with")
    arguments = parser.parse_args()

    train = load_dataset(arguments.folder, "train")
    validation = load_split(arguments.folder, "validation")
    test = load_split(arguments.folder, "test")

    settings = {} if arguments.width is None else {"width": arguments.width}
    recognizer = EmotionRecognizer(
        arguments.backbone, labels=train.labels, backbone_config=settings
    )
    checkpoints = arguments.out / "checkpoints"
    # Without validation data a tenth of the training faces is held out.
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

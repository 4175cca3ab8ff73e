"""Trains a small network on a folder of face crops, one folder per class, and saves it.

python examples/train_on_folder.py faces my_model

The folder looks like faces/train/CLASS/*.png; where there is a faces/test, it is evaluated on.
"""

import argparse
from pathlib import Path

from emonet import EmotionRecognizer, load_dataset


def main() -> None:
    """Read the arguments, train, evaluate and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbone", default="resnet18", help="see emonet plugins")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's number")
    parser.add_argument("--width", type=int, default=32, help="channels that it starts with")
    arguments = parser.parse_args()

    train = load_dataset(arguments.folder, "train")
    splits = {path.name for path in arguments.folder.iterdir()}
    validation = load_dataset(arguments.folder, "validation") if "validation" in splits else None

    recognizer = EmotionRecognizer(
        arguments.backbone, labels=train.labels, backbone_config={"width": arguments.width}
    )
    # Without validation data a tenth of the training faces is held out.
    recognizer.fit(
        train,
        validation,
        recipe="scratch",
        epochs=arguments.epochs,
        checkpoint_dir=arguments.out / "checkpoints",
    )
    if "test" in splits:
        report = recognizer.evaluate(load_dataset(arguments.folder, "test"))
        recognizer.note_evaluation("test", report)
        low, high = report.accuracy_interval_95
        print(f"accuracy {report.accuracy:.1%}, 95 % interval {low:.1%} to {high:.1%}")
        for label, figures in report.per_class.items():
            print(f"{label:12} precision {figures.precision:.2f}, recall {figures.recall:.2f}")
    recognizer.save_pretrained(arguments.out)
    print(f"saved to {arguments.out}")


if __name__ == "__main__":
    main()

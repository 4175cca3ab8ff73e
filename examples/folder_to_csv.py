"""Writes a CSV file with one row for every face in a folder of pictures.

python examples/folder_to_csv.py photos faces.csv --min-score 0.6
"""

import argparse
import csv
from pathlib import Path

from emonet import EmotionRecognizer

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def main() -> None:
    """Read the arguments, predict, and say what could not be read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--model", help="a model folder or a Hub repository; by default bundled")
    parser.add_argument("--min-score", type=float, default=0.0, help="below, the label is empty")
    arguments = parser.parse_args()

    recognizer = EmotionRecognizer.from_pretrained(arguments.model)
    pictures = sorted(p for p in arguments.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    faces = 0
    with arguments.csv.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "x", "y", "width", "height", "label", "score", *recognizer.labels])
        # A stream, so that memory does not grow with the number of pictures.
        for result in recognizer.stream(pictures, min_score=arguments.min_score):
            if result.error is not None:
                print(f"left out {result.path}: {result.error}")
            for face in result.faces:
                faces += 1
                table.writerow(
                    [result.path, *face.box, face.label, face.score, *face.probabilities.values()]
                )
    print(f"{faces} faces in {len(pictures)} pictures -> {arguments.csv}")


if __name__ == "__main__":
    main()

"""Write a CSV file with one row for each face in a folder of images.

python examples/folder_to_csv.py photos faces.csv --min-score 0.6
"""

import argparse
import csv
from pathlib import Path

from emonet import EmotionRecognizer

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def main() -> None:
    """Read the arguments, predict, and print the names of unreadable images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--model", help="model folder or Hub repository; by default bundled")
    parser.add_argument("--min-score", type=float, default=0.0, help="no label below it")
    arguments = parser.parse_args()

    recognizer = EmotionRecognizer.from_pretrained(arguments.model)
    images = sorted(p for p in arguments.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    faces = 0
    with arguments.csv.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "x", "y", "width", "height", "label", "score", *recognizer.labels])
        # stream uses constant memory, however many images there are.
        for result in recognizer.stream(images, min_score=arguments.min_score):
            if result.error is not None:
                print(f"skipped {result.path}: {result.error}")
            for face in result.faces:
                faces += 1
                table.writerow(
                    [result.path, *face.box, face.label, face.score, *face.probabilities.values()]
                )
    print(f"{faces} faces in {len(images)} images -> {arguments.csv}")


if __name__ == "__main__":
    main()

"""Write a CSV file with one row for each face in a folder of images.

python examples/folder_to_csv.py photos faces.csv --min-score 0.6
"""

import argparse
from pathlib import Path

from emonet import EmotionRecognizer
from emonet.tables import CsvWriter


def main() -> None:
    """Read the arguments, predict, and print the names of unreadable images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--model", help="model folder or Hub repository; by default bundled")
    parser.add_argument("--min-score", type=float, default=0.0, help="no label below it")
    arguments = parser.parse_args()

    recognizer = EmotionRecognizer.from_pretrained(arguments.model)
    faces = images = 0
    with CsvWriter(arguments.csv, recognizer.labels) as table:
        # stream uses constant memory, however many images there are.
        for result in recognizer.stream(arguments.folder, min_score=arguments.min_score):
            table.write(result)
            images += 1
            faces += len(result.faces)
            if result.error is not None:
                print(f"failed: {result.error}")
    print(f"{faces} faces in {images} images -> {arguments.csv}")


if __name__ == "__main__":
    main()

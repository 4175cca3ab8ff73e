"""Makes the film of the documentation: ``python docs/images/film.py CLIP``.

CLIP is a film of 20 seconds from pexels.com, whose licence allows changed copies without naming
their source. A woman looks troubled, and then smiles.
"""

import subprocess
import sys
from pathlib import Path

import av

FOLDER = Path(__file__).parent
FILM = FOLDER / "film.webm"
OPTIONS = ["--start", "7", "--end", "12", "--fps", "12", "--annotated", str(FILM)]


def save_poster():
    """Write the last frame, which is shown until the film plays."""
    with av.open(str(FILM)) as film:
        *_, last = film.decode(video=0)
    last.to_image().save(FOLDER / "film.webp", quality=80)


if __name__ == "__main__":
    subprocess.run([sys.executable, "-m", "emonet", "video", sys.argv[1], *OPTIONS], check=True)
    save_poster()

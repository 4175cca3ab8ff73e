"""The names of the three parts of a data set."""

from pathlib import Path

from emonet.errors import DataError

__all__ = ["SPLIT_FOLDERS", "TEST", "TRAINING", "VALIDATION", "official_split", "split_name"]

# FER-2013's own names.
TRAINING, VALIDATION, TEST = "Training", "PublicTest", "PrivateTest"

#: What folders call each split.
SPLIT_FOLDERS = {
    TRAINING: ("train", "training"),
    VALIDATION: ("validation", "valid", "val", "publictest"),
    TEST: ("test", "privatetest"),
}


def official_split(name: str) -> str:
    """Return FER-2013's name for a split given under any of its names.

    Raises:
        DataError: it is none of them.
    """
    for official, others in SPLIT_FOLDERS.items():
        if name.lower() in (official.lower(), *others):
            return official
    raise DataError(
        f"Unknown split {name!r}: expected Training, PublicTest or PrivateTest "
        f"(or train, validation, test)"
    )


def split_name(data: Path, split: str) -> str:
    """Return what figures call a split: FER-2013's name for its own, the usual one elsewhere.

    Args:
        data: FER-2013's CSV file, or a folder of anybody's images.
        split: any of its names.

    Raises:
        DataError: it is none of them.
    """
    official = official_split(split)
    return SPLIT_FOLDERS[official][0] if data.is_dir() else official

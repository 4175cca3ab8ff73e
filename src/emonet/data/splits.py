"""Splits: the names of the three parts of a data set."""

from pathlib import Path

from emonet.errors import DataError

# FER-2013's names.
TRAINING, VALIDATION, TEST = "Training", "PublicTest", "PrivateTest"

#: Names of each split's folder, in lower case; the first one is the usual name.
SPLIT_FOLDERS = {
    TRAINING: ("train", "training"),
    VALIDATION: ("validation", "valid", "val", "publictest"),
    TEST: ("test", "privatetest"),
}


def official_split(name: str) -> str:
    """Return FER-2013's name of a split.

    Raises:
        DataError: no split has this name.
    """
    for official, folders in SPLIT_FOLDERS.items():
        if name.lower() in (official.lower(), *folders):
            return official
    raise DataError(
        f"Unknown split {name!r}: expected Training, PublicTest or PrivateTest "
        f"(or train, validation, test)"
    )


def split_name(data: Path, split: str) -> str:
    """Return the name of a split in reports: FER-2013's for its CSV file, else the usual one.

    Args:
        data: FER-2013's CSV file, or a folder of images.
        split: any name of the split.

    Raises:
        DataError: no split has this name.
    """
    official = official_split(split)
    return SPLIT_FOLDERS[official][0] if data.is_dir() else official

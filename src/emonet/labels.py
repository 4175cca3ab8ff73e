"""Label sets and their order.

The order of a label set is the order of the columns of every probability array.
"""

from collections.abc import Iterable

from emonet.errors import ConfigError

__all__ = ["FER2013", "FERPLUS", "canonical_label", "canonical_labels", "label_set"]

#: The seven classes of FER-2013 in the order of its codes 0..6 (Goodfellow et al. 2013).
FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")

#: The eight classes of FER+ in the order of its vote columns (Barsoum et al. 2016).
FERPLUS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)

# Other spellings found in data sets and in other libraries.
_SYNONYMS = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "contemptuous": "contempt",
}


def label_set(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels as a tuple.

    Raises:
        ConfigError: they are one word, whose letters would be taken for labels.
    """
    if isinstance(labels, str):
        raise ConfigError(f"labels must be a list of names, got {labels!r:.200}")
    return tuple(labels)


def canonical_label(name: str) -> str:
    """Return emonet's word for an emotion: ``"Angry"`` becomes ``"anger"``; others stay."""
    lowered = name.strip().lower()
    return _SYNONYMS.get(lowered, lowered if lowered in FERPLUS else name)


def canonical_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Return the label set that class names stand for, in its own order.

    The names of FER-2013's or FER+'s classes, in any spelling, give that set; any other
    names form a set of their own, sorted.
    """
    found = {canonical_label(name) for name in names}
    for known in (FER2013, FERPLUS):
        if found == set(known):
            return known
    return tuple(sorted(found))

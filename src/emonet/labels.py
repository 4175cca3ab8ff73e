"""Label sets and their order.

The columns of a probability array have the order of its label set.
"""

from collections.abc import Iterable

from emonet.errors import ConfigError

#: The seven classes of FER-2013 in the order of its codes 0..6 (Goodfellow et al. 2013).
FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")

#: The eight classes of FER+ in the order of its vote columns (Barsoum et al. 2016).
FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")

# Names that data sets and other libraries use.
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
    """Return labels as a tuple; raise ConfigError for a single string."""
    if isinstance(labels, str):
        raise ConfigError(f"labels must be a list of names, got {labels!r:.200}")
    return tuple(labels)


def canonical_label(name: str) -> str:
    """Return emonet's name of an emotion: ``"anger"`` for ``"Angry"``; keep other names."""
    lowered = name.strip().lower()
    return _SYNONYMS.get(lowered, lowered if lowered in FERPLUS else name)


def canonical_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Return the label set of class names, in its standard order.

    The names of all FER-2013 or all FER+ classes, in any spelling, give that label set. Any
    other names are sorted.
    """
    found = {canonical_label(name) for name in names}
    for known in (FER2013, FERPLUS):
        if found == set(known):
            return known
    return tuple(sorted(found))

"""Exceptions and warnings of emonet.

    EmonetError
    ├── ConfigError (ValueError)               an argument or a value in config.json is not legal
    │   └── ConfigVersionError                 a newer emonet wrote the model folder
    ├── InputError (ValueError)                input data can't be used
    │   ├── ImageError                         an image is unreadable or malformed
    │   │   └── ImageNotFoundError (FileNotFoundError)   there is no file at the path
    │   ├── VideoError                         a video or camera can't be read, or not to its end
    │   └── DataError                          a data set is malformed
    ├── NotFittedError (ValueError, AttributeError)    the recognizer has no weights
    ├── TrainingError (RuntimeError)           a run diverged, or the folder holds another run
    ├── MissingDependencyError (ImportError)   an optional package is not installed
    ├── ModelError                             a saved model can't be used
    │   ├── ModelNotFoundError (FileNotFoundError)     there is no such model
    │   ├── HubError (OSError)                 the Hub refuses, fails or can't be reached
    │   ├── WeightsError (ValueError)          weights are missing, altered or incompatible
    │   └── ExportError (RuntimeError)         a network can't be written in the format
    └── PluginError                            a plugin is broken or missing
        ├── ComponentNotFoundError (LookupError)   no installed plugin offers the component
        ├── PluginLoadError (ImportError)          a plugin failed to import or register
        ├── PluginContractError (TypeError)        a hook, spec or component breaks the contract
        ├── PluginConflictError                    two plugins offer the same name
        ├── PluginVersionError                     the plugin can't read the saved config version
        └── PluginRuntimeError (RuntimeError)      a plugin's code raised an error

    EmonetWarning (UserWarning)
    └── PluginWarning                          a plugin was disabled

A message says what failed, the value received and what to do. It is one printable line: text from
files, servers and other libraries is escaped.
"""

from typing import Any

__all__ = [
    "ComponentNotFoundError",
    "ConfigError",
    "ConfigVersionError",
    "DataError",
    "EmonetError",
    "EmonetWarning",
    "ExportError",
    "HubError",
    "ImageError",
    "ImageNotFoundError",
    "InputError",
    "MissingDependencyError",
    "ModelError",
    "ModelNotFoundError",
    "NotFittedError",
    "PluginConflictError",
    "PluginContractError",
    "PluginError",
    "PluginLoadError",
    "PluginRuntimeError",
    "PluginVersionError",
    "PluginWarning",
    "TrainingError",
    "VideoError",
    "WeightsError",
]


def printable(text: object) -> str:
    """Return untrusted text, such as a file name, with control characters and line ends escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))


def _printable_texts(arguments: tuple[Any, ...]) -> list[Any]:
    return [printable(part) if isinstance(part, str) else part for part in arguments]


class EmonetError(Exception):
    """Base class of all errors that emonet raises."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take a message, which may repeat a stranger's text; ImportError has options too."""
        super().__init__(*_printable_texts(arguments), **options)


class ConfigError(EmonetError, ValueError):
    """An argument or a value in config.json is not legal."""


class ConfigVersionError(ConfigError):
    """A newer emonet wrote the model folder; upgrade emonet to read it."""


class InputError(EmonetError, ValueError):
    """Input data can't be used."""


class ImageError(InputError):
    """An image can't be read, or its array has the wrong dtype, shape or values."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """There is no file at an image's path."""


class VideoError(InputError):
    """A video or camera can't be read, or not to its end; the message says at which second."""


class DataError(InputError):
    """A data set is malformed; the message names the file and, if there is one, the line."""


class NotFittedError(EmonetError, ValueError, AttributeError):
    """A recognizer was used before it was fitted or loaded."""


class TrainingError(EmonetError, RuntimeError):
    """A training run diverged, or its folder holds a different run."""


class MissingDependencyError(EmonetError, ImportError):
    """An optional package is not installed; the message names the extra to install."""


class ModelError(EmonetError):
    """A saved model can't be found, fetched or read."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No bundled model, folder, file or Hub repository has the name."""


class HubError(ModelError, OSError):
    """The Hugging Face Hub refuses, fails or can't be reached."""


class WeightsError(ModelError, ValueError):
    """Weights are missing, altered or don't fit the network."""


class ExportError(ModelError, RuntimeError):
    """A network can't be written in the requested format."""


class PluginError(EmonetError):
    """A plugin or one of its components is broken or missing."""


class ComponentNotFoundError(PluginError, LookupError):
    """No installed plugin offers the component."""


class PluginLoadError(PluginError, ImportError):
    """An installed plugin failed to import or register; the cause is chained."""


class PluginContractError(PluginError, TypeError):
    """A plugin's hook, spec or component breaks the contract."""


class PluginConflictError(PluginError):
    """Two plugins offer the same component name, or a plugin uses the name of a built-in."""


class PluginVersionError(PluginError):
    """The installed plugin can't read the version of a saved component configuration."""


class PluginRuntimeError(PluginError, RuntimeError):
    """A plugin's code raised an error in building or running a component; it is chained."""


class EmonetWarning(UserWarning):
    """Base class of all warnings that emonet issues."""

    def __init__(self, *arguments: Any) -> None:
        """Take a message, which may repeat a stranger's text."""
        super().__init__(*_printable_texts(arguments))


class PluginWarning(EmonetWarning):
    """A plugin was disabled; all other plugins keep working."""

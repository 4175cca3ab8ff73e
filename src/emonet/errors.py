"""Every error that emonet raises on purpose.

    EmonetError
    ├── ConfigError (ValueError)               a bad argument or config.json
    │   └── ConfigVersionError                 written by a newer emonet
    ├── InputError (ValueError)
    │   ├── ImageError                         one image is unreadable or malformed
    │   │   └── ImageNotFoundError (FileNotFoundError)   there is no file at its path
    │   └── DataError                          a data set is malformed; names file and line
    ├── NotFittedError (ValueError, AttributeError)
    ├── TrainingError (RuntimeError)           a run diverged, or its folder holds another run
    ├── MissingDependencyError (ImportError)   an optional package is not installed
    ├── ModelError
    │   ├── ModelNotFoundError (FileNotFoundError)
    │   ├── HubError (OSError)                 network, permission or offline mode
    │   ├── WeightsError (ValueError)          missing, altered or incompatible weights
    │   └── ExportError (RuntimeError)         a network has no form in the format asked for
    └── PluginError
        ├── ComponentNotFoundError (LookupError)   no installed plugin offers that name
        ├── PluginLoadError (ImportError)          installed, but failed to import or register
        ├── PluginContractError (TypeError)        a hook, spec or component breaks the contract
        ├── PluginConflictError                    two plugins claim one name
        ├── PluginVersionError                     saved with a config version it can't read
        └── PluginRuntimeError (RuntimeError)      plugin code raised while building or running

    EmonetWarning (UserWarning)
    └── PluginWarning                          a plugin was disabled; the rest works

A message says what failed, what was received and what to do.
"""

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
    "WeightsError",
]


class EmonetError(Exception):
    """Root of all errors that emonet raises on purpose."""


class ConfigError(EmonetError, ValueError):
    """An argument or a value in config.json is not legal."""


class ConfigVersionError(ConfigError):
    """A model folder was written in a format newer than this emonet reads."""


class InputError(EmonetError, ValueError):
    """Something given to emonet to work on can't be used."""


class ImageError(InputError):
    """One image can't be read, or its array has the wrong dtype, shape or values."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """There is no file at the path that an image was given as."""


class DataError(InputError):
    """A data set is malformed; the message names the file and, where it has one, the line."""


class NotFittedError(EmonetError, ValueError, AttributeError):
    """A recognizer was used before it was fitted or loaded."""


class TrainingError(EmonetError, RuntimeError):
    """A training run diverged, or its folder holds a different run."""


class MissingDependencyError(EmonetError, ImportError):
    """An optional package is needed and not installed; the message names the extra."""


class ModelError(EmonetError):
    """A saved model can't be found, fetched or read."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No bundled model, folder or Hub repository has that name."""


class HubError(ModelError, OSError):
    """The Hugging Face Hub refused, failed or can't be reached."""


class WeightsError(ModelError, ValueError):
    """Weights are missing, altered or don't fit the network that they are meant for."""


class ExportError(ModelError, RuntimeError):
    """A network can't be written in the format that was asked for."""


class PluginError(EmonetError):
    """Something is wrong with a plugin or with a component that one should provide."""


class ComponentNotFoundError(PluginError, LookupError):
    """No installed plugin offers a component of that name."""


class PluginLoadError(PluginError, ImportError):
    """A plugin is installed but failed to import or to register; the cause is chained."""


class PluginContractError(PluginError, TypeError):
    """A plugin's hook, spec or component breaks the contract."""


class PluginConflictError(PluginError):
    """Two plugins claim one component name, or a plugin claims a built-in's."""


class PluginVersionError(PluginError):
    """A saved component configuration has a version that the installed plugin can't read."""


class PluginRuntimeError(PluginError, RuntimeError):
    """A plugin's own code raised while a component was built or run; the cause is chained."""


class EmonetWarning(UserWarning):
    """Root of all warnings that emonet issues."""


class PluginWarning(EmonetWarning):
    """A plugin was disabled; everything else keeps working."""

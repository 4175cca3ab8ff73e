"""The key that requests may have to send."""

import hmac
import re

from emonet.errors import ConfigError


def require_key(key: str) -> None:
    """Raise ConfigError if a key can't be sent in a header; the message does not show it."""
    if not re.fullmatch("[!-~]+", key):
        raise ConfigError(
            "The API key (EMONET_API_KEY) must be ASCII letters, digits and signs without a "
            "space, and not empty"
        )


def equal(given: str, key: str) -> bool:
    """Return whether two keys are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), key.encode())

"""The limits of the HTTP service."""

from dataclasses import dataclass

from emonet.plugin import ConfigError, require_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of what requests may take; a request beyond one is refused, and others go on.

    Attributes:
        max_body: largest body of a request, bytes.
        max_images: most images in a request.
        max_queued: most images that wait; a worker process has one queue.
        max_memory: most bytes that the bodies of all requests of a worker process take together.
        timeout: seconds in which a request must arrive and be answered.
    """

    max_body: int = 2**25
    max_images: int = 64
    max_queued: int = 256
    max_memory: int = 2**28
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Validate the fields.

        Raises:
            ConfigError: a value is out of range.
        """
        for name in ("max_body", "max_images", "max_queued", "max_memory"):
            require_number("limits", name, getattr(self, name), 1, whole=True)
        require_number("limits", "timeout", self.timeout, 0.1)
        for smaller, larger in (("max_images", "max_queued"), ("max_body", "max_memory")):
            if getattr(self, smaller) > getattr(self, larger):
                raise ConfigError(
                    f"limits: {smaller} must be at most {larger}, got {getattr(self, smaller)} "
                    f"and {getattr(self, larger)}"
                )

"""Draw faces with their emotions on images."""

from emonet.drawing.draw import draw

__all__ = ["draw"]

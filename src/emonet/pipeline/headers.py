"""Compute the cost of decoding an image file from its headers.

Headers may be wrong. Each function reads the fields that the decoder itself uses.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from emonet.errors import ImageError

_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
#: JPEG markers without a length: TEM, RST0 to RST7, SOI.
_BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}
_SOS, _EOI = 0xDA, 0xD9


def jpeg_scans(data: bytes, start: int = 0) -> int:
    """Return the number of scans in a JPEG stream; bytes after its end are never decoded.

    The function searches for markers as libjpeg does. It skips entropy-coded data and the contents
    of segments.
    """
    scans, position = 0, start
    while match := _JPEG_MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == _EOI:
            break
        scans += marker == _SOS
        if marker >= 0xC0 and marker not in _BARE_MARKERS:
            position += int.from_bytes(data[position : position + 2], "big")
    return scans


def tag_numbers(tags: Mapping[int, Any], tag: int) -> list[int]:
    """Return the whole numbers of a TIFF tag; empty if there are none."""
    value = tags.get(tag, ())
    values = value if isinstance(value, tuple) else (value,)
    return [number for number in values if isinstance(number, int)]


def _tiff_block(tags: Mapping[int, Any]) -> int:
    """Return the pixels of one strip or tile, the largest part of a TIFF file decoded at once."""
    width, height, rows, tile_width, tile_height = (
        max(tag_numbers(tags, tag), default=0) for tag in (256, 257, 278, 322, 323)
    )
    return max(width * min(rows or height, height), tile_width * tile_height)


def tiff_block_bytes(tags: Mapping[int, Any]) -> int:
    """Return the memory that libtiff needs for one strip or tile, bytes."""
    bits = tag_numbers(tags, 258) or [1]
    samples = max(max(tag_numbers(tags, 277), default=1), len(bits), 4)
    # Some compressions need a copy.
    return 2 * _tiff_block(tags) * samples * max(bits) // 8


def tiff_scan_pixels(tags: Mapping[int, Any], data: bytes) -> int:
    """Return the sum of scans times pixels over the JPEG streams in a TIFF file; 0 without JPEG.

    Raises:
        ImageError: the streams overlap, or have no sizes.
    """
    if max(tag_numbers(tags, 259), default=1) != 7:
        return 0
    offsets = tag_numbers(tags, 273) + tag_numbers(tags, 324)
    sizes = tag_numbers(tags, 279) + tag_numbers(tags, 325)
    if not offsets or len(offsets) != len(sizes) or min(sizes) <= 0:
        # libtiff guesses sizes that are missing.
        raise ImageError("the sizes of its strips or tiles are missing: convert it to a JPEG")
    streams = Counter(zip(offsets, sizes, strict=True))
    if sum(size for _, size in streams) > len(data):
        raise ImageError("its strips or tiles overlap")
    block = _tiff_block(tags)
    return sum(
        count * block * jpeg_scans(data[offset : offset + size])
        for (offset, size), count in streams.items()
    )


def avif_pixels(data: bytes) -> tuple[int, int]:
    """Return the pixels of the largest AV1 image in an AVIF file, and of all frames together.

    libavif reports the size in the container's header, but decodes the size in the AV1 data. An
    AV1 image can have any number of frames that are not shown.

    Raises:
        ImageError: the file is not a still picture with the usual structure.
    """
    try:
        images = [_av1_pixels(item) for item in _avif_items(data)]
        return max(pixels for pixels, _ in images), sum(all_frames for _, all_frames in images)
    except (IndexError, ValueError, struct.error) as error:
        raise ImageError("only AVIF files with one still picture are supported") from error


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start of the contents, end) of the boxes of an ISO media file."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        contents = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, contents)
            contents += 8
        stop = end if size == 0 else start + size
        if not contents <= stop <= end:
            raise ValueError("a box does not fit")
        yield kind, contents, stop
        start = stop


def _avif_items(data: bytes) -> Iterator[bytes]:
    """Yield the contents of all items: AV1 images, grids and metadata."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"moov":
            raise ValueError("an animation")
        if kind != b"meta":
            continue
        boxes = list(_boxes(data, start + 4, end))
        inside = next((first for name, first, _ in boxes if name == b"idat"), 0)
        for name, first, last in boxes:
            if name == b"iloc":
                yield from _located(data, first, last, inside)


def _located(data: bytes, start: int, end: int, inside: int) -> Iterator[bytes]:
    """Yield the contents of the items that an iloc box lists."""
    position = start + 4

    def number(size: int) -> int:
        nonlocal position
        position += size
        if position > end:
            raise ValueError("the box ends")
        return int.from_bytes(data[position - size : position], "big")

    version, sizes = data[start], number(2)
    offset_size, length_size, base_size, index_size = (sizes >> n & 15 for n in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _ in range(number(wide)):
        number(wide)  # the item's ID
        method = number(2) & 15 if version else 0
        number(2)  # data reference index
        offset = number(base_size)
        if number(2) != 1 or method > 1:
            raise ValueError("an item in pieces")
        number(index_size if version else 0)
        offset += number(offset_size) + (inside if method else 0)
        length = number(length_size)
        yield data[offset : offset + length] if length else data[offset:]


def _av1_pixels(item: bytes) -> tuple[int, int]:
    """Return the largest frame that AV1 data declare, pixels, and this times their frames.

    Both are 0 if the item is not AV1 data.
    """
    pixels = frames = position = 0
    while position < len(item):
        header = item[position]
        position += 2 if header & 4 else 1  # bit 2: an extension byte follows
        size = len(item) - position
        if header & 2:
            size = shift = 0
            while True:
                byte = item[position] if position < len(item) else 0
                size |= (byte & 127) << shift
                position, shift = position + 1, shift + 7
                if byte < 128 or shift > 56:
                    break
        kind = header >> 3 & 15
        frames += kind in (3, 6)  # a frame header alone, or with the frame
        if kind == 1:
            pixels = max(pixels, _sequence_pixels(item[position : position + size]))
        position += size
    return pixels, pixels * frames


def _sequence_pixels(header: bytes) -> int:
    """Return the largest frame that an AV1 sequence header allows, pixels."""
    bits = iter("".join(f"{byte:08b}" for byte in header[:128]))

    def number(size: int) -> int:
        return int("0" + "".join(next(bits, "0") for _ in range(size)), 2)

    number(4)  # profile, still picture
    reduced = number(1)
    if reduced:
        number(5)  # level
    else:
        if number(1):
            raise ValueError("timing of an animation")
        delays = number(1)
        for _ in range(number(5) + 1):  # the operating points
            number(12)
            if number(5) > 7:
                number(1)
            if delays and number(1):
                number(4)
    width_bits, height_bits = number(4) + 1, number(4) + 1
    width, height = number(width_bits) + 1, number(height_bits) + 1
    # A frame header may override the size with any number of the same bit width.
    return width * height if reduced else 1 << (width_bits + height_bits)

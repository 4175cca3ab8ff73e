"""The forms of images that people have at hand: read, or refused with the line that reads them."""

import base64
import io
import os
import re
import zipfile
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from tests.conftest import FixedDetector

from emonet import load_image, sample_photo
from emonet.config import Framing
from emonet.errors import ImageError, ImageNotFoundError
from emonet.pipeline.detection import DetectorPool
from emonet.pipeline.streaming import stream_results
from emonet.registry.guard import GuardedDetector

PIXELS = load_image(sample_photo())
DATA = sample_photo().read_bytes()


class Pipe(io.RawIOBase):
    """A file that can't go back and returns few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        part = self._left.read(min(1000, len(buffer)))
        buffer[: len(part)] = part
        return len(part)


class Entry(os.PathLike):
    """A path of another library."""

    def __fspath__(self) -> str:
        return str(sample_photo())


def at_its_end(data: bytes) -> io.BytesIO:
    file = io.BytesIO()
    file.write(data)
    return file


@pytest.mark.parametrize(
    "form",
    [
        bytes,
        bytearray,
        memoryview,
        io.BytesIO,
        at_its_end,
        Pipe,
        lambda data: io.BufferedReader(Pipe(data)),
        lambda _: sample_photo().open("rb"),
        lambda _: Entry(),
        lambda _: memoryview(PIXELS),
    ],
)
def test_every_form_gives_the_same_pixels(form) -> None:
    source = form(DATA)
    np.testing.assert_array_equal(load_image(source), PIXELS)
    if isinstance(source, io.IOBase):
        source.close()


def test_a_file_in_an_archive_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", DATA)
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive, archive.open("a.jpg") as file:
        np.testing.assert_array_equal(load_image(file), PIXELS)
    with pytest.raises(ImageError, match=r"pass image\.read_bytes\(\)"):
        load_image(zipfile.Path(tmp_path / "photos.zip", "a.jpg"))


class Asynchronous:
    async def read(self, size: int = -1) -> bytes:
        return DATA


class Broken:
    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("gone")


class Numbers:
    def read(self, size: int = -1) -> int:
        return 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: io.StringIO("text"), r'open it with open\(path, "rb"\)'),
        (Asynchronous, r"pass await file\.read\(\)"),
        (Broken, "can't be read: gone"),
        (Numbers, "returned a int"),
        (io.BytesIO, "is empty"),
        (lambda: io.BytesIO(b"text"), "not in a supported image format"),
    ],
)
def test_a_file_that_gives_no_image_is_refused(make, message) -> None:
    with pytest.raises(ImageError, match=message):
        load_image(make())


def test_an_endless_file_is_not_read_to_its_end(monkeypatch) -> None:
    class Endless:
        taken = 0

        def read(self, size: int) -> bytes:
            self.taken += min(size, 1000)
            return bytes(min(size, 1000))

    for module in ("images", "decoding"):
        monkeypatch.setattr(f"emonet.pipeline.{module}.MAX_FILE_BYTES", 10_000)
    endless = Endless()
    with pytest.raises(ImageError, match="larger than"):
        load_image(endless)
    assert endless.taken == 10_001


def code_in(message: str) -> str:
    return re.search(r"(?:its bytes,|pass) (\S+\(.*\))$", message)[1]


@pytest.mark.parametrize("scheme", ["file", "data"])
def test_the_code_that_reads_an_address_reads_it(scheme) -> None:
    address = {
        "file": sample_photo().as_uri(),
        "data": "data:image/jpeg;base64," + base64.b64encode(DATA).decode(),
    }[scheme]
    with pytest.raises(ImageNotFoundError, match="emonet fetches no images") as refused:
        load_image(address)
    assert len(str(refused.value)) < 300
    code = code_in(str(refused.value))
    assert code == "urllib.request.urlopen(address).read()"
    with urlopen(address) as file:
        np.testing.assert_array_equal(load_image(file), PIXELS)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("https://example.org/a.jpg", "urllib.request.urlopen(address).read()"),
        (Path("http://example.org/a.jpg"), "urllib.request.urlopen(address).read()"),
        ("HTTP://EXAMPLE.ORG/a.jpg", "urllib.request.urlopen(address).read()"),
        ("s3://bucket/a.jpg", "fsspec.open(address).open().read()"),
        ("gs://bucket/a.jpg", "fsspec.open(address).open().read()"),
    ],
)
def test_addresses_are_refused_with_the_code_that_fetches_them(address, code) -> None:
    with pytest.raises(ImageNotFoundError) as refused:
        load_image(address)
    assert code_in(str(refused.value)) == code


@pytest.mark.parametrize("address", [r"C:\photos\a.jpg", "C:/photos/a.jpg", "a:b.jpg", "x.jpg"])
def test_other_names_are_no_addresses(address) -> None:
    with pytest.raises(ImageNotFoundError, match=r"^No image file at "):
        load_image(address)


def test_base64_is_refused_with_the_code_that_decodes_it() -> None:
    text = base64.b64encode(DATA).decode()
    with pytest.raises(ImageNotFoundError) as refused:
        load_image(text)
    message = str(refused.value)
    assert len(message) < 200
    assert f"{len(text):,} characters" in message
    assert code_in(message) == "base64.b64decode(text)"
    np.testing.assert_array_equal(load_image(base64.b64decode(text)), PIXELS)


def detector() -> GuardedDetector:
    return GuardedDetector(FixedDetector(lambda image: []), "detector fixed")


def stream(sources):
    return stream_results(
        sources,
        detectors=DetectorPool(detector),
        framing=Framing(),
        face_sizes=[(48, 48)],
        classify=None,
        labels=("a", "b"),
    )


def animation(format: str, frames: int) -> bytes:
    file = io.BytesIO()
    first, *others = (Image.new("RGB", (20, 10), (40 * i, 90, 200)) for i in range(frames))
    more = {"save_all": True, "append_images": others} if frames > 1 else {}
    first.save(file, format=format, **more)
    return file.getvalue()


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame_and_says_so(format, tmp_path) -> None:
    still, moving = animation(format, 1), animation(format, 3)
    (tmp_path / "moving").write_bytes(moving)
    results = list(stream([still, moving, str(tmp_path / "moving"), io.BytesIO(moving)]))
    assert [result.animated for result in results] == [False, True, True, True]
    assert "animated" not in results[0].to_dict()
    assert results[1].to_dict()["animated"] is True
    assert abs(int(load_image(moving)[0, 0, 0])) < 20


def test_the_pages_of_a_document_are_no_animation() -> None:
    (result,) = stream([animation("TIFF", 3)])
    assert (result.error, result.animated) == (None, False)


def test_an_animation_whose_second_frame_is_damaged_gives_the_first() -> None:
    moving = animation("GIF", 3)
    cut = moving[: moving.index(b"\x2c", moving.index(b"\x2c") + 20) + 5]
    (result,) = stream([cut])
    assert (result.error, result.width) == (None, 20)


def test_an_open_file_is_read_before_its_owner_closes_it() -> None:
    def files():
        for _ in range(3):
            with io.BytesIO(DATA) as file:
                yield file

    assert [result.width for result in stream(files())] == [400] * 3


def test_bytes_that_their_owner_reuses_are_copied() -> None:
    buffer = bytearray(DATA)

    def buffers():
        yield buffer
        buffer[:] = bytes(len(buffer))
        yield DATA

    assert [result.error for result in stream(buffers())] == [None, None]

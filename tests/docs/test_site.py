"""The built site is whole, and loads nothing from anybody else."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs", reason="needs pip install '.[docs]'")

#: What a browser fetches by itself, as (tag, attribute).
LOADED = {
    *[("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")],
    ("video", "poster"),
    *[("embed", "src"), ("object", "data"), ("image", "href"), ("use", "href"), ("link", "href")],
}
#: A <link> with one of these names an address and fetches nothing.
NAMES = {"canonical", "next", "prev", "alternate"}


class Page(HTMLParser):
    """What a page loads, links to, and can be linked to at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads, self.links, self.anchors, self.styles = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        self.styles.append(values.get("style") or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        named = tag == "link" and values.get("rel") in NAMES
        for key, value in attrs:
            if (tag, key) in LOADED and value and not named:
                self.loads.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def is_foreign(address: str) -> bool:
    return bool(re.match(r"(https?:)?//", address, re.IGNORECASE))


def target(page: Path, site: Path, address: str) -> Path:
    """Return the file that an address on a page stands for."""
    path = unquote(urlsplit(address).path)
    file = site / path.lstrip("/") if path.startswith("/") else page.parent / path
    return file / "index.html" if file.is_dir() else file


def test_pages_load_nothing_from_elsewhere(pages):
    assert len(pages) > 30
    loads = [address for page in pages.values() for address in page.loads]
    assert len(loads) > 100
    assert [address for address in loads if is_foreign(address)] == []


def test_styles_load_nothing_from_elsewhere(site, pages):
    sheets = [path.read_text() for path in site.rglob("*.css")]
    assert sheets
    drawings = [path.read_text() for path in site.rglob("*.svg")]
    inline = [style for page in pages.values() for style in page.styles]
    for text in [*sheets, *drawings, *inline]:
        addresses = re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", text)
        assert [a for pair in addresses for a in pair if is_foreign(a)] == []


def test_what_is_loaded_is_there(site, pages):
    for path, page in pages.items():
        for address in page.loads:
            if not address.startswith("data:"):
                assert target(path, site, address).is_file(), (path.name, address)


def test_links_and_anchors_lead_somewhere(site, pages):
    followed = 0
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            if urlsplit(link).scheme or is_foreign(link):
                continue
            where = target(path, site, link) if urlsplit(link).path else path
            assert where.is_file(), (path, link)
            if (anchor := unquote(urlsplit(link).fragment)) and where in pages:
                assert anchor in pages[where].anchors, (path, link)
            followed += 1
    assert followed > 500


def test_scripts_that_make_pictures_are_no_part_of_the_site(site):
    assert (site / "images" / "network.svg").is_file()
    assert not list((site / "images").glob("*.py"))

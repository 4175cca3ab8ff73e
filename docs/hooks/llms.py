"""Hook of mkdocs: writes ``llms.txt``, a list of pages, and ``llms-full.txt``, all pages in one.

The format is that of https://llmstxt.org. In place of each ``::: emonet.Name``, the full file has
the signature and the docstring.
"""

import inspect
import posixpath
import pydoc
import re
from pathlib import Path

_texts = {}


def on_pre_build(config):
    """Forget the pages of the last build, which ``mkdocs serve`` repeats."""
    _texts.clear()


def on_page_markdown(markdown, page, config, files):
    """Keep the text of each page."""
    _texts[page.file.src_uri] = markdown


def on_nav(nav, config, files):
    """Keep the sections in the order of the navigation."""
    global _nav
    _nav = nav


def on_post_build(config):
    """Write both files beside the pages."""
    folder = Path(config.site_dir)
    (folder / "llms.txt").write_text(index(config), encoding="utf-8")
    (folder / "llms-full.txt").write_text(full(config), encoding="utf-8")


def index(config):
    """Return the titles and addresses of all pages, section by section."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    lines.append(f"All pages in one file: {address(config, 'llms-full.txt')}")
    for section, pages in sections():
        lines += ["", f"## {section}", ""]
        lines += [f"- [{page.title}]({address(config, page.url)})" for page in pages]
    return "\n".join(lines) + "\n"


def full(config):
    """Return the text of all pages."""
    parts = [f"# {config.site_name}\n\n> {config.site_description}\n"]
    for _, pages in sections():
        for page in pages:
            text = re.sub(r"^::: (\S+)$", described, _texts[page.file.src_uri], flags=re.MULTILINE)
            parts.append(f"<!-- {address(config, page.url)} -->\n\n{text.strip()}\n")
    return "\n\n".join(parts)


def sections():
    """Yield the name and the pages of each part of the navigation."""
    alone = [item for item in _nav.items if item.is_page]
    yield "Start", alone
    for item in _nav.items:
        if item.is_section:
            yield item.title, list(pages_in(item))


def pages_in(section):
    """Yield the pages of a section and of the sections within it."""
    for item in section.children:
        if item.is_section:
            yield from pages_in(item)
        elif item.is_page:
            yield item


def address(config, url):
    """Return the whole address of a page if the site has one, else the address in the site."""
    return posixpath.join(config.site_url or "/", url)


def described(match):
    """Return the signatures and docstrings of a public name."""
    thing = pydoc.locate(match[1])
    parts = [described_one(match[1], thing)]
    if inspect.isclass(thing):
        members = [name for name in vars(thing) if not name.startswith("_")]
        parts += [described_one(f"{match[1]}.{name}", getattr(thing, name)) for name in members]
    return "\n\n".join(parts)


def described_one(name, thing):
    """Return a heading, the signature and the docstring."""
    try:
        signature = str(inspect.signature(thing))
    except (TypeError, ValueError):
        signature = ""
    return f"### {name}\n\n`{name}{signature}`\n\n{inspect.getdoc(thing) or ''}".rstrip()

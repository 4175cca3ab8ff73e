"""Opens every page of the built site in Chromium, wide and light, narrow and dark.

    nox -s docs && pip install playwright && python tests/docs/browse.py site [screenshots]

Prints what is wrong: errors on the console, what is missing or comes from elsewhere, pictures
that can't be shown, and what is wider than the window. No test, because it needs a browser.
"""

import functools
import shutil
import sys
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VIEWS = {"wide": (1280, "light"), "narrow": (390, "dark")}

FINDINGS = """() => {
  const found = [...document.images]
    .filter(image => image.complete && !image.naturalWidth)
    .map(image => "can't be shown: " + image.src);
  const width = document.documentElement.clientWidth;
  const scrolls = part => ["auto", "scroll", "hidden"].includes(getComputedStyle(part).overflowX);
  const inside = part => part && (scrolls(part) || inside(part.parentElement));
  if (document.documentElement.scrollWidth > width)
    for (const part of document.querySelectorAll("body *"))
      if (part.getBoundingClientRect().right > width + 1 && !inside(part.parentElement))
        found.push("wider than the window: " + part.outerHTML.slice(0, 90));
  return found;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def guess_type(self, path):
        """Know .mjs, which some systems do not: browsers run no module of another type."""
        return "text/javascript" if str(path).endswith(".mjs") else super().guess_type(path)

    def log_message(self, *_):
        """Say nothing about every request."""


@contextmanager
def serving(site):
    """Serve the built site on this machine; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def main(site, screenshots=None):
    """Look at all pages; exit with 1 if something is wrong."""
    pages = sorted(p.relative_to(site).parent.as_posix() for p in Path(site).rglob("index.html"))
    problems = 0
    with serving(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for view, (width, scheme) in VIEWS.items():
            page, found = watched(browser, address, width, scheme)
            for path in pages:
                found.clear()
                page.goto(f"/{path}/" if path != "." else "/", wait_until="networkidle")
                for problem in [*found, *page.evaluate(FINDINGS)]:
                    print(f"{path} ({view}): {problem}")
                    problems += 1
                if screenshots:
                    name = f"{path.replace('/', '_').strip('.') or 'home'}-{view}.png"
                    page.screenshot(path=Path(screenshots) / name, full_page=True)
    print(f"{len(pages)} pages, {problems} problems")
    return 1 if problems or not pages else 0


def watched(browser, address, width, scheme):
    """Return a page, and a list that fills with what goes wrong on it."""
    size = {"width": width, "height": 900}
    page = browser.new_page(base_url=address, viewport=size, color_scheme=scheme)
    found = []

    def on_console(message):
        if message.type in ("error", "warning"):
            found.append(f"console: {message.text}")

    def on_request(request):
        if not request.url.startswith((address, "data:", "blob:")):
            found.append(f"from elsewhere: {request.url}")

    page.on("console", on_console)
    page.on("request", on_request)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("response", lambda r: r.status >= 400 and found.append(f"{r.status}: {r.url}"))
    return page, found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

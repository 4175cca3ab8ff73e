"""Every page of the site, as a reader sees it in Chromium: wide and narrow, light and dark.

npm ci --ignore-scripts
pip install playwright && pytest tests/docs/test_look.py -m slow
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
pytest.importorskip("mkdocs", reason="needs pip install '.[docs]'")

from tests.docs.browse import CHROMIUM, FINDINGS, serving  # noqa: E402

ROOT = Path(__file__).parents[2]
AXE = ROOT / "node_modules/axe-core/axe.min.js"
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
#: axe takes minutes for the long pages, and colours don't depend on the width.
WITH_AXE = [(1280, "light"), (390, "dark")]
PATIENCE = 120_000
#: The theme's own parts, which we don't write.
THEMES_OWN = [".md-search", ".md-sidebar", ".md-header", ".md-footer"]
VIOLATIONS = """async own => {
  const {violations} = await axe.run({exclude: own}, {resultTypes: ["violations"]});
  return violations
    .filter(found => ["serious", "critical"].includes(found.impact))
    .map(found => found.id + ": " + found.nodes.slice(0, 3).map(n => n.html.slice(0, 120)).join());
}"""

if CHROMIUM is None or not AXE.is_file():
    pytest.skip("needs Chromium, and npm ci", allow_module_level=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--no-strict", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def address(site):
    with serving(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_pages_are_whole_accessible_and_from_here(browser, site, address, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page, found = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: m.type == "error" and found.append(m.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    context.on(
        "request",
        lambda r: r.url.startswith((address, "blob:", "data:")) or found.append(r.url),
    )
    wrong = {}
    names = sorted(p.relative_to(site).parent.as_posix() for p in site.rglob("index.html"))
    assert len(names) > 50
    for name in names:
        found.clear()
        page.goto(address if name == "." else f"{address}{name}/", wait_until="load")
        violations = []
        if (width, scheme) in WITH_AXE:
            page.evaluate(AXE.read_text())
            violations = page.evaluate(VIOLATIONS, THEMES_OWN)
        if problems := [*found, *page.evaluate(FINDINGS), *violations]:
            wrong[name] = problems
    context.close()
    assert not wrong


def test_pictures_have_texts(site):
    for path in site.rglob("index.html"):
        for picture in re.findall(r"<img\b[^>]*>", path.read_text()):
            assert re.search(r'\balt="[^"]+"', picture) or "md-logo" in picture, (path, picture)

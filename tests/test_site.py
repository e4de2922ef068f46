"""The documentation site that `make docs` built into site/: complete, and whole without any other host."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib
import pytest

from cab import proxy, scoring
from tests.adapters.report.browsing import running_chromium

pytestmark = pytest.mark.site
ROOT = Path(__file__).parents[1]
SITE = ROOT / "site"
LOADED = {("link", "href"), ("use", "href"), ("object", "data"), ("form", "action")}
"""Attributes that a browser follows by itself, beside every `src`."""
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//|^https?:", re.IGNORECASE)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    assert (SITE / "index.html").is_file(), "there is no site; run make docs, which builds it first"


def loaded(page: Element) -> Iterator[str]:
    """Yield the addresses that a page loads when it is opened."""
    for element in page.iter():
        tag = str(element.tag).rpartition("}")[2]
        for name, value in element.attrib.items():
            if name in {"src", "poster"} or (tag, name) in LOADED:
                yield value
            elif name == "srcset":
                yield from (each.split()[0] for each in value.split(","))


def test_no_page_loads_anything_from_elsewhere() -> None:
    """Scripts, styles, images and frames of every page are files of the site."""
    pages = sorted(SITE.rglob("*.html"))
    assert len(pages) > 50
    for file in pages:
        page = html5lib.parse(file.read_bytes(), namespaceHTMLElements=False)
        assert [address for address in loaded(page) if ELSEWHERE.match(address)] == [], file


def test_no_stylesheet_loads_anything_from_elsewhere() -> None:
    """No font and no image of a stylesheet comes from another host."""
    for file in SITE.rglob("*.css"):
        text = file.read_text(encoding="utf-8")
        found = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]+)", text)
        assert [address for address in found if ELSEWHERE.match(address)] == [], file


def test_every_public_name_has_its_place() -> None:
    """What the packages export is on their pages, each with an anchor."""
    for package, name in ((scoring, "scoring"), (proxy, "proxy")):
        text = (SITE / "reference" / f"{name}-api.html").read_text(encoding="utf-8")
        anchors = {anchor.rpartition(".")[2] for anchor in re.findall(r'id="(cab\.[\w.]+)"', text)}
        values = {each: getattr(package, each) for each in package.__all__}
        assert {each for each in values if isinstance(values[each], type)} <= anchors


@pytest.mark.browser
def test_it_works_from_the_disk() -> None:
    """In Chromium pages ask for files alone, nothing fails, and the search finds a setting."""
    requests: list[str] = []
    faults: list[str] = []
    with running_chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        for path in ("index.html", "settings.html", "reference/scoring-api.html"):
            page.goto((SITE / path).as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, f"{path} is {wide} px wide on a screen of 390 px"
        page.set_viewport_size({"width": 1440, "height": 900})
        page.locator(".md-search__input").fill("max_connections")
        page.wait_for_selector(".md-search-result__item", timeout=60_000)
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []

"""The pages in a real browser: what they show, how they are worked, and that nothing hostile runs in them."""

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import html5lib
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from cab.adapters.report.render.badge import BadgeText, badge_svg
from cab.adapters.report.single import write_single
from cab.adapters.report.site import SiteBuilder
from cab.scoring import score_one
from cab.scoring.errors import ScoringError
from cab.scoring.ids import CellId
from tests.adapters.report.attacks import ATTACKS
from tests.adapters.report.browsing import SHOTS, Watched, running_chromium, served
from tests.adapters.report.pagecells import cast, many_calls, write_capture, write_cell
from tests.scoring.builders import FIXTURES

pytestmark = pytest.mark.browser

IMAGE = "codingagentbench/aider:v0.86.0"
WIDTHS = (390, 1280, 1920)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with running_chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of usual, large, published and hostile cells."""
    runs, site = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("made") / "site"
    usual = CellId("local", "aider", "acme/demo-2", "polyglot", "usual", 1)
    write_cell(runs / "usual", cell_id=usual, recording=cast("hello\r\n", "world\r\n"), image=IMAGE)
    write_capture(runs / "usual", str(usual), "plain")
    failed = CellId("local", "codex", "acme/demo-2", "polyglot", "usual", 1)
    write_cell(runs / "failed", cell_id=failed, passed=False)
    many = CellId("local", "aider", "acme/demo-2", "polyglot", "many")
    write_cell(runs / "many", cell_id=many, calls=many_calls(str(many), 500))
    for name, text in ATTACKS.items():
        # An id holds printable characters only, and parts without slashes.
        part = "".join(c for c in text if c.isprintable()).replace("/", "|").replace("#", "|")[:120]
        attack = CellId(f"evil-{name}", part, text if text.isprintable() else part, part, part)
        write_cell(
            runs / name, cell_id=attack, text=text, recording=cast(text, term=text), passed=False
        )
        write_capture(runs / name, str(attack), text)
    errors: list[ScoringError] = []
    builder = SiteBuilder(
        site, base_url="", on_error=errors.append, on_cell=lambda _: None, with_messages=True
    )
    builder.build([runs, FIXTURES])
    assert errors == []
    return site


@pytest.fixture(scope="module")
def base(site: Path) -> str:
    """Where the site is: in a folder."""
    return site.as_uri()


def name_of(site: Path, part: str) -> str:
    """Return the path of the one cell's page whose name holds a text."""
    (file,) = (site / "cells").glob(f"*{part}*.html")
    return f"cells/{file.name}"


def path_of(site: Path, part: str) -> str:
    if part == "pair":
        return f"compare/{min(file.name for file in (site / 'compare').iterdir())}"
    return f"{part}.html" if part in OF_ALL else name_of(site, part)


USUAL = "aider-acme-demo-2-polyglot-usual"
MANY = "polyglot-many"
OF_ALL = ("index", "cells", "compare")
PAGES = (USUAL, "codex", MANY, "aider-stepfun", "pair", *OF_ALL)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def open_messages(page: Page) -> int:
    """Open the messages of all calls and all that is folded in them; return how many calls have some."""
    buttons = page.locator("button[data-said-of]")
    for button in buttons.all():
        button.dispatch_event("click")
    if buttons.count():
        page.locator(".said h3").first.wait_for(state="attached")
        page.evaluate(
            """() => { for (let n = 0; n < 4; n += 1)
                document.querySelectorAll(".said details").forEach((e) => { e.open = true; e.dispatchEvent(new Event("toggle")); }); }"""
        )
    return buttons.count()


@pytest.mark.parametrize("part", PAGES)
def test_pages_fit_and_are_silent(browser: Browser, base: str, site: Path, part: str) -> None:
    """At three widths, light and dark: nothing on the console, no request, nothing beside the page."""
    watched = Watched(browser, base)
    page = watched.open(path_of(site, part))
    open_messages(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0, width
            # Names are as long as an id allows: the figures beside them are what a table is for.
            widest = "[...document.querySelectorAll('.stick tr:not(.group) > :first-child:not([colspan])')].map((e) => e.clientWidth)"
            assert max(page.evaluate(widest), default=0) <= 0.65 * width, width
            if "CAB_SCREENSHOTS" in os.environ:
                SHOTS.mkdir(exist_ok=True)
                page.screenshot(path=SHOTS / f"{part}-{width}-{scheme}.png", full_page=True)
    watched.close()


@pytest.mark.parametrize("part", [page for page in PAGES if page not in {MANY, "codex"}])
def test_pages_have_no_barrier(browser: Browser, base: str, site: Path, part: str) -> None:
    """axe-core finds nothing, and no contrast that is too low in either theme."""
    # It is put into the page, which the policy of pages forbids.
    watched = Watched(browser, base, bypass_csp=True)
    page = watched.open(path_of(site, part))
    open_messages(page)
    for scheme, rules in zip(SCHEMES, (RULES, ["color-contrast"]), strict=True):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options={"runOnly": rules, "preload": False})
        assert [
            (each["id"], [node["html"][:200] for node in each["nodes"][:3]])
            for each in found.response["violations"]
        ] == []
    watched.close()


def test_pages_are_valid_html(site: Path) -> None:
    """An independent parser has nothing to say about any page, the hostile ones included."""
    pages = [*site.rglob("*.html")]
    assert len(pages) > len(ATTACKS)
    for file in pages:
        parser = html5lib.HTMLParser(strict=False)
        parser.parse(file.read_text("utf-8"))
        faults = [(place, code) for place, code, _ in parser.errors]
        assert faults == [], file.name


@pytest.mark.parametrize("where", ["file", "http", "file without policy"])
def test_nothing_hostile_runs(browser: Browser, site: Path, where: str) -> None:
    """Of cells whose every text is an attack nothing runs, loads or leads away; not even without the policy."""
    scripts = (site / name_of(site, USUAL)).read_text("utf-8").count("<script")
    with served(site) as url:
        base = url if where == "http" else site.as_uri()
        watched = Watched(browser, base, bypass_csp=where.endswith("policy"))
        for file in sorted((site / "cells").glob("*window-pwned*.html")):
            check_harmless(watched.open(f"cells/{file.name}"), scripts)
        compared = (f"compare/{file.name}" for file in (site / "compare").iterdir())
        for name in (*(f"{part}.html" for part in OF_ALL), *compared):
            check_harmless(watched.open(name), scripts)
        watched.close()


def check_harmless(page: Page, scripts: int) -> None:
    """Step through a page, play its recording, open its messages: nothing in it is anybody else's."""
    scripts += bool(open_messages(page))
    if page.locator("#replay").count():
        page.focus("#replay")
        for _ in range(7):
            page.keyboard.press("ArrowRight")
        page.locator("#player .ap-overlay-start").dispatch_event("click")
    seen = page.evaluate(
        """() => {
            const count = (what) => document.querySelectorAll(what).length;
            return {
                pwned: window.pwned ?? null,
                scripts: count("script"),
                foreign: count("iframe, form, base, img, object, embed, link:not([rel=stylesheet], [rel=icon])"),
                handlers: [...document.querySelectorAll("*")].filter(
                    (e) => [...e.attributes].some((a) => a.name.startsWith("on"))).length,
                protocols: [...document.links].map((link) => link.protocol),
                display: getComputedStyle(document.body).display,
            };
        }"""
    )
    assert set(seen.pop("protocols")) <= {"file:", "http:"}
    assert seen.pop("scripts") <= scripts
    assert seen == {"pwned": None, "foreign": 0, "handlers": 0, "display": "block"}


def test_replay_answers_the_keys_of_the_published_page(
    browser: Browser, base: str, site: Path
) -> None:
    """Space plays and pauses, arrows step spans, comma and full stop step 100 ms; the page stays in place."""
    watched = Watched(browser, base)
    page = watched.open(name_of(site, USUAL))
    page.focus("#replay")
    first = page.inner_text("#step-name")
    page.keyboard.press("ArrowRight")
    second = page.inner_text("#step-name")
    assert (first[:4], second[:4]) == ("1 of", "2 of")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#step-name") == first
    for key, clock in (
        (".", "100 ms"),
        (".", "200 ms"),
        (",", "100 ms"),
        ("End", "3.00 s"),
        ("Home", "0 ms"),
    ):
        page.keyboard.press(key)
        assert f"t = {clock} /" in page.inner_text("#clock")
    top = page.evaluate("scrollY")
    page.keyboard.press(" ")
    expect(page.locator("#clock")).not_to_contain_text("t = 0 ms")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.keyboard.press(" ")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    assert page.evaluate("scrollY") == top
    page.click("#calls-table tbody tr:nth-child(2) button")
    assert "model_call · #2" in page.inner_text("#step-name")
    assert "rate_limit_error: slow down" in page.inner_text("#step-facts")
    assert "upstream error 429" in page.inner_text("#step-facts")
    watched.close()


def column(page: Page, number: int) -> list[str]:
    """Return the raw values of a column of the calls that are shown, or their texts."""
    cells = page.locator(f"#calls-table tbody tr:not([hidden]) > :nth-child({number})")
    found: list[str] = cells.evaluate_all("all => all.map(e => e.dataset.v ?? e.innerText)")
    return found


def test_calls_are_sorted_filtered_and_copied(browser: Browser, base: str, site: Path) -> None:
    """A click on a heading sorts, unknown last both ways; `/` filters; a copy holds raw values."""
    watched = Watched(browser, base)
    page = watched.open(name_of(site, "codex"))
    page.click("#calls-table thead button:text-is('prompt')")
    assert column(page, 4)[-1] == "–"
    page.click("#calls-table thead button:text-is('prompt')")
    assert column(page, 4)[-1] == "–"
    page.click("#calls-table thead button:text-is('latency')")
    assert column(page, 1) == ["4", "3", "1", "2"]
    page.keyboard.press("/")
    page.keyboard.type("429")
    assert column(page, 1) == ["2"]
    assert page.inner_text("[data-count=calls-table]") == "1 of 4"
    page.fill("#calls-filter", "")
    page.click("button[data-copy=calls-table]")
    page.wait_for_selector("button[data-copy=calls-table]:text-is('Copied')")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('textarea'), {id: 'in'}))"
    )
    page.focus("#in")
    page.keyboard.press("Control+V")
    copied = [line.split("\t") for line in page.input_value("#in").splitlines()]
    assert copied[0][:4] == ["#", "timestamp", "request hash", "prompt"]
    assert (copied[4][0], copied[4][3]) == ("2", "")
    assert copied[3][12] == "0.0042"
    watched.close()


def test_messages_are_opened_from_the_rows_of_calls(
    browser: Browser, base: str, site: Path
) -> None:
    """What is new stands open; what an earlier call has is folded; rows are sorted and copied without them."""
    watched = Watched(browser, base)
    page = watched.open(name_of(site, USUAL))
    rows = page.locator("#calls-table tbody tr")
    buttons = page.locator("button[data-said-of]")
    assert [text.split()[0] for text in buttons.all_inner_texts()] == ["2", "3", "0"]
    assert page.locator("script[src*=messages]").count() == 0
    buttons.nth(1).click()
    said = page.locator(".said")
    expect(said.locator("h4")).to_have_text(["tool", "plain", "user"])
    expect(said).to_contain_text("rate_limit_error: slow down plain")
    earlier = said.get_by_text("3 earlier messages as in call 1")
    earlier.click()
    expect(said.locator("h4")).to_have_count(6)
    expect(said).to_contain_text("I look: plain")
    page.get_by_role("button", name="latency").click()
    assert rows.count() == 5
    assert rows.nth(1 + rows.evaluate_all("rows => rows.findIndex(r => r.dataset.step && r.cells[0].dataset.v === '2')")).get_attribute("class") == "said"  # fmt: skip
    page.fill("#calls-filter", "no such call")
    assert rows.count() == 4
    watched.close()


def test_messages_of_one_file_are_in_it(browser: Browser, tmp_path: Path) -> None:
    """`--single --messages` needs nothing else; without the flag there is no trace of them."""
    cell_id = CellId("local", "aider", "m", "polyglot", "alone")
    write_cell(tmp_path / "a", cell_id=cell_id)
    write_capture(tmp_path / "a", str(cell_id), "overheard")
    write_single(score_one(tmp_path / "a"), tmp_path / "without.html")
    assert "overheard" not in (tmp_path / "without.html").read_text("utf-8")
    write_single(score_one(tmp_path / "a"), tmp_path / "cell.html", with_messages=True)
    watched = Watched(browser, tmp_path.as_uri())
    page = watched.open("cell.html")
    page.locator("button[data-said-of]").first.click()
    expect(page.locator(".said")).to_contain_text("I look: overheard")
    watched.close()


def test_500_calls_are_drawn_and_stay_usable(browser: Browser, base: str, site: Path) -> None:
    """Rows come from columns of data: sorted, filtered and stepped through as all others."""
    watched = Watched(browser, base)
    page = watched.open(name_of(site, MANY))
    assert page.locator("#calls-table tbody tr").count() == 500
    page.click("#calls-table thead button:text-is('latency')")
    assert column(page, 9)[0] == "13"
    page.click("#calls-table tbody tr:nth-child(1) button")
    assert "model_call · #9" in page.inner_text("#step-name")
    watched.close()


def test_recordings_play_from_the_page(browser: Browser, base: str, site: Path) -> None:
    """The player shows the recording, which is in the page itself; pages without one have no player."""
    watched = Watched(browser, base)
    page = watched.open(name_of(site, USUAL))
    assert "The agent wrote to a terminal of 80 × 24" in page.inner_text("#terminal")
    page.click("#player .ap-overlay-start")
    page.locator("#player").get_by_text("world").wait_for()
    page = watched.open(name_of(site, "codex"))
    assert page.evaluate("typeof AsciinemaPlayer") == "undefined"
    watched.close()


def test_the_theme_is_chosen_and_kept(browser: Browser, base: str, site: Path) -> None:
    """The button goes from the system's theme to light and to dark, and other pages follow."""
    watched = Watched(browser, base, color_scheme="light")
    page = watched.open(name_of(site, USUAL))
    colours = [page.evaluate("getComputedStyle(document.documentElement).backgroundColor")]
    for _ in range(2):
        page.click("#theme")
        colours.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert colours == ["rgb(255, 255, 255)", "rgb(255, 255, 255)", "rgb(19, 20, 22)"]
    page.reload()
    assert page.inner_text("#theme") == "Theme: dark"
    watched.close()


def test_a_page_reads_without_script(browser: Browser, base: str, site: Path) -> None:
    """Figures, calls, changes and commands are in the markup; buttons that would do nothing are not shown."""
    watched = Watched(browser, base, java_script_enabled=False)
    page = watched.open(name_of(site, USUAL))
    assert page.locator("#calls-table tbody tr").count() == 4
    assert page.locator("#run button:visible").count() == 0
    assert page.locator("pre.lines .added").count() == 2
    page = watched.open("index.html")
    assert page.locator(".matrix a.run").count() > 10
    page = watched.open("cells.html")
    assert page.locator("noscript a").count() > len(ATTACKS)
    watched.close()


def test_the_list_leads_to_each_cell_and_cells_to_their_siblings(
    browser: Browser, base: str, site: Path
) -> None:
    """Each link of the list leads to a page; siblings link to one another."""
    watched = Watched(browser, base)
    page = watched.open("cells.html")
    links = page.eval_on_selector_all(
        "#cells-table tbody a", "all => all.map(e => e.getAttribute('href'))"
    )
    assert sorted(links) == sorted(f"cells/{file.name}" for file in (site / "cells").glob("*.html"))
    page.fill("#cells-filter", "codex demo-2")
    page.click("#cells-table tbody tr:not([hidden]) a")
    assert page.title() == "codex × acme/demo-2, polyglot/usual"
    page.click("#siblings a:text-is('aider, run 1')")
    assert page.title() == "aider × acme/demo-2, polyglot/usual"
    watched.close()


def test_the_overview_leads_to_cells_and_sorts(browser: Browser, base: str) -> None:
    """A mark of the matrix leads to its cell; groups sort by their values, what is unknown last."""
    watched = Watched(browser, base)
    page = watched.open("index.html")
    page.click("#groups-table thead button:text-is('tokens per solved task')")
    values = page.eval_on_selector_all(
        "#groups-table tbody tr", "all => all.map(row => row.cells[5].dataset.v)"
    )
    known = [float(value) for value in values if value]
    assert known == sorted(known, reverse=True)
    assert not any(values[len(known) :])
    page.click(".matrix a.run[title^='aider, acme/demo-2, polyglot/usual']")
    assert page.title() == "aider × acme/demo-2, polyglot/usual"
    page.click("header >> text=Compare")
    assert page.inner_text("h1") == "Comparisons"
    watched.close()


def test_one_file_holds_a_whole_cell(browser: Browser, tmp_path: Path) -> None:
    """`--single`: script, style and player are in the file, and its policy lets nothing else run."""
    cell_id = CellId("local", "aider", "m", "polyglot", "alone")
    write_cell(tmp_path / "a", cell_id=cell_id, recording=cast("hello\r\n", "world\r\n"))
    write_single(score_one(tmp_path / "a"), tmp_path / "cell.html")
    (tmp_path / "else").mkdir()
    watched = Watched(browser, (tmp_path).as_uri())
    page = watched.open("cell.html")
    page.focus("#replay")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#step-name").startswith("2 of")
    page.click("#player .ap-overlay-start")
    page.locator("#player").get_by_text("world").wait_for()
    assert not re.search(
        r'(?:src|href)="(?!#|data:)',
        (tmp_path / "cell.html").read_text("utf-8").partition("<script>")[0],
    )
    watched.close()


def test_badges_are_as_wide_as_their_texts(browser: Browser) -> None:
    """The width that is written in a badge is that of its text in the font, within a tenth."""
    page = browser.new_page()
    for words in (
        "CAB aider × stepfun-ai/step-3.5-flash",
        "passed, 0.93, ≈2,603 tokens",
        "WiMmlJ@%",
    ):
        page.set_content(badge_svg(BadgeText(words, words, True)))
        widths = page.eval_on_selector_all(
            "text",
            "all => all.map(e => { const w = +e.getAttribute('textLength'); e.removeAttribute('textLength');"
            " return [w, e.getComputedTextLength()]; })",
        )
        for written, real in widths:
            assert written == pytest.approx(real, rel=0.1)
    page.close()

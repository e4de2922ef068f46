"""The README's commands and figures come from real runs, and the links of all pages lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.tools.page_commands import run_page
from tests.tools.programs import run_python

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def figures(text: str) -> list[str]:
    """Return a printed result without what differs from run to run: times and what follows them."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    timed = re.compile(r"wall clock|agent \d|published/1|measured/1|bundle:|tmp|───")
    return [line for line in lines if not timed.search(line)]


def test_the_first_look_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """`make demo` runs the command below, and prints the README's figures, number for number."""
    arguments = "run-cell --tui scripted --upstream demo --task polyglot/python-error-handling"
    assert f"cab {arguments} --runs demo-run" in (ROOT / "Makefile").read_text()
    program = "import sys; from cab.adapters.cli import main; sys.exit(main())"
    printed = run_python("-c", program, *arguments.split(), "--runs", "demo-run", cwd=tmp_path)
    shown = next(block for _, block in BLOCKS if block.startswith("local/scripted"))
    assert figures(shown) == figures(printed)


@pytest.mark.slow
def test_the_commands_work_as_pasted(tmp_path: Path) -> None:
    """The four jobs, from an empty folder: each command succeeds, and prints what the README shows or says."""
    printed = run_page(README, tmp_path)
    for text in ("cab-ledger holds", "cell.json: identical"):
        assert text in printed
    assert re.search(r"^0 sha256:[0-9a-f]{64}\n1 40$", printed, re.MULTILINE)
    shown = next(block for _, block in BLOCKS if block.startswith("agent  "))
    columns = [re.split(r"  +", line.strip()) for line in shown.splitlines()]
    table = [re.split(r"  +", line.strip()) for line in printed.splitlines()]
    for row in columns:
        assert row in [line[: len(row)] for line in table]
    pages = [tmp_path / "site/index.html", tmp_path / "sweep-site/index.html"]
    assert all(page.is_file() for page in pages)


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every file that a page links to exists, and so does the heading after its `#`."""
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), target


def test_the_readme_links_to_every_page() -> None:
    """A reader of the README finds every page; those in folders by the first page of the documentation."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    missing = [page.name for page in pages if f"{page.name})" not in README]
    assert missing == ["README.md"]


def test_the_menu_of_the_site_names_every_page_once() -> None:
    """No page of the documentation is an orphan, and none is named that is not there."""
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = re.findall(r"(\S+\.md)$", menu, re.MULTILINE)
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    outside = {name for name in named if name.startswith("repository/")}
    assert len(named) == len(set(named))
    assert set(named) - outside == pages
    assert all((ROOT / name.removeprefix("repository/")).is_file() for name in outside)

"""The README's commands and figures come from real runs, and the links of all pages lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.tools.programs import run_python
from tests.tools.proxy import chat_body, metered
from tests.tools.upstream import json_answer, scripted_upstream

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]


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
    assert figures(BLOCKS[0][1]) == figures(printed)
    score = run_python("-c", program, "score", "demo-run", cwd=tmp_path)
    assert score.splitlines()[-1] == BLOCKS[1][1].splitlines()[-1] == "cell.json: identical"


async def test_the_example_for_other_harnesses_runs(tmp_path: Path) -> None:
    """The README's Python example reads a ledger that a proxy wrote, and prints its sums."""
    example = next(code for code in PYTHON if "iter_records" in code)
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    answer = json_answer({"model": "m", "choices": [], "usage": usage})
    cell = "my-sweep/aider/my-model/my-family/my-task"
    async with (
        scripted_upstream([answer]) as upstream,
        metered(upstream.url, tmp_path, cell=cell) as meter,
    ):
        await meter.chat(**chat_body())
    (tmp_path / "ledger").rename(tmp_path / "cab-ledger")
    printed = run_python("-c", example, cwd=tmp_path)
    assert printed.startswith("1 7 ")


def test_the_example_of_a_proxy_in_a_program_runs(tmp_path: Path) -> None:
    """The README's proxy opens a cell, sums it, and seals it."""
    example = next(code for code in PYTHON if "start_proxy" in code)
    printed = run_python("-c", example, cwd=tmp_path)
    assert re.fullmatch(r"0 sha256:[0-9a-f]{64}\n", printed)
    assert len(PYTHON) == 2


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

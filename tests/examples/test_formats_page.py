"""The page about formats says what the command does."""

import re
from pathlib import Path

from cab.adapters.commands.export import _FORMATS, _LAKE, _OTEL
from cab.scoring.exports.atif import ATIF_VERSION
from cab.scoring.exports.otel import CONVENTIONS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "formats.md").read_text()


def test_every_format_has_a_row() -> None:
    """What `cab export` can write stands in the table, and nothing else is said to be written."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\| out \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted([*_FORMATS, _LAKE, _OTEL])


def test_versions_are_those_of_the_code() -> None:
    """The versions that the page names are those that the files name."""
    assert f"semantic conventions {CONVENTIONS}" in PAGE
    assert ATIF_VERSION.replace("-v", " ") in PAGE


def test_links_lead_somewhere() -> None:
    """Every file that the page links is there."""
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert len(targets) >= 3
    assert all((DOCS / target).is_file() for target in targets)

"""`docs/security.md` claims nothing that no test shows."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
CLAIMS = [row for row in ROWS if not row.startswith("| what |")]


def names_in(path: str) -> set[str]:
    """Return the names of the tests in a file below `tests/`."""
    body = ast.parse((TESTS / path).read_text()).body
    return {each.name for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_names_a_test_that_is_there() -> None:
    """Each row ends with `path::name`, and that file has that test."""
    assert CLAIMS
    for row in CLAIMS:
        named = re.search(r"`([\w/]+\.py)::(test_\w+)` \|$", row)
        assert named, f"no test shows: {row}"
        assert named[2] in names_in(named[1]), f"{named[0]} is not there"

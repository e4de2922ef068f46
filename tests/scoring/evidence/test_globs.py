import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.evidence.globs import matches, select


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("src/lib.rs", "src/lib.rs", True),
        ("src/lib.rs", "src/lib.rs.bak", False),
        ("src", "src/lib.rs", True),
        ("src/", "src/a/b.rs", True),
        ("./src", "src/a", True),
        ("lib.rs", "src/lib.rs", False),
        ("*.py", "a.py", True),
        ("*.py", "a/b.py", False),
        ("**/*.py", "b.py", True),
        ("**/*.py", "a/b/c.py", True),
        ("src/**/*.py", "src/c.py", True),
        ("src/**/*.py", "src/a/b/c.py", True),
        ("src/**/*.py", "lib/c.py", False),
        ("src/**", "src/a", True),
        ("src/**", "src", False),
        ("**", "a/b", True),
        ("**/**/x", "x", True),
        ("**/__pycache__/**", "a/__pycache__/b.pyc", True),
        (".aider*", ".aider.tags.cache.v4/cache.db", True),
        ("*", ".hidden", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].py", "b.py", True),
        ("[!ab].py", "b.py", False),
        ("A.py", "a.py", False),
        ("a.b", "axb", False),
        ("", "a", False),
        ("/", "a", False),
    ],
)
def test_patterns_mean_what_the_module_says(pattern: str, path: str, expected: bool) -> None:
    """Patterns are anchored, stay within a part but for `**`, and cover what is in a folder."""
    assert matches(path, [pattern]) is expected


PART = st.text("ab*?", min_size=1, max_size=3)
PATTERN = st.lists(PART | st.just("**"), min_size=1, max_size=4)
PATH = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5)


def by_regex(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Say the same with one backtracking expression, as an independent second opinion."""
    parts = [
        "(?:[^/]+/)*"
        if part == "**"
        else "".join({"*": "[^/]*", "?": "[^/]"}.get(char, char) for char in part) + "/"
        for part in pattern
    ]
    if pattern[-1] == "**":
        parts.append("[^/]+/")
    return re.match("".join(parts), "/".join(path) + "/") is not None


@given(PATTERN.filter(lambda parts: not any("**" in part and part != "**" for part in parts)), PATH)
def test_the_walk_agrees_with_a_regular_expression(pattern: list[str], path: list[str]) -> None:
    """The pattern walk comes to the same answer as one regular expression for the whole path."""
    assert matches("/".join(path), ["/".join(pattern)]) is by_regex(pattern, path)


def test_a_hostile_pattern_costs_little() -> None:
    """A pattern of many `**` on a deep path is answered at once, without backtracking."""
    assert not matches("/".join("a" * 400), ["/".join(["**", "a"] * 200 + ["b"])])


def test_select_keeps_the_order() -> None:
    """Selected paths come in the order in which they were given; any pattern will do."""
    assert select(["c.py", "x.md", "a.py"], iter(["*.py", "*.txt"])) == ["c.py", "a.py"]

"""What changed in a sweep's file."""

import pytest

from cab.adapters.sweeps.drift import SweepChanged, compare_sweeps, require_comparable

BEFORE = {
    "upstream": "http://h",
    "models": ["a", "b"],
    "runs": 1,
    "timeout_s": 600.0,
    "limits": {"tokens": None, "calls": None},
    "folder": None,
}


def test_nothing() -> None:
    """The same file has no changes, wherever its folder is now."""
    found = compare_sweeps(BEFORE, {**BEFORE, "folder": "x"}, {"a": "1"}, {"a": "1", "b": "1"})

    assert found == ([], [])


def test_harmless() -> None:
    """The matrix may grow and shrink, and the pace change: cells stay comparable."""
    found = compare_sweeps(BEFORE, {**BEFORE, "models": ["b", "c"], "runs": 3, "jobs": 2}, {}, {})

    assert found.harmless == [
        "jobs: none -> 2",
        "models: c added",
        "models: a removed",
        "runs: 1 -> 3",
    ]
    assert found.breaking == []
    require_comparable(found.breaking, "s")


def test_breaking() -> None:
    """Another endpoint, time limit, allowance, plugin or version makes cells that are not comparable."""
    now = {
        **BEFORE,
        "upstream": "http://other",
        "timeout_s": 60.0,
        "limits": {"tokens": 5, "calls": None},
        "plugins": ["p"],
    }

    before_of = {"agent aider": "1", "agent gone": "1", "task f/t": "sha256:0"}
    now_of = {"agent aider": "2", "task f/t": "sha256:1", "task f/new": "sha256:2"}

    found = compare_sweeps(BEFORE, now, before_of, now_of)

    assert found.harmless == []
    assert found.breaking == [
        "limits: none -> tokens 5",
        "plugins: none -> ['p']",
        "timeout_s: 600.0 -> 60.0",
        "upstream: http://h -> http://other",
        "agent aider: 1 -> 2",
        "task f/t: its files were changed",
    ]
    with pytest.raises(SweepChanged, match=r"sweep s was started under other .*--accept-changes"):
        require_comparable(found.breaking, "s")

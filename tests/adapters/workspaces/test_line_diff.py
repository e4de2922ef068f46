"""Diffs that would take for ever."""

import difflib
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.workspaces.line_diff import DiffTooLong, LineDiff
from cab.adapters.workspaces.walk import WalkStopped

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=30)


@given(LINES, LINES)
def test_as_the_library_writes_it(old: list[str], new: list[str]) -> None:
    """The lines are those of Python's own unified diff."""
    lines = LineDiff(60).unified(old, new, "a/x", "b/x")

    if old != new:
        assert lines == list(difflib.unified_diff(old, new, "a/x", "b/x"))


def test_many_equal_lines_are_not_compared() -> None:
    """Files of 100 different lines in thousands of copies are refused before the search begins."""
    old = [f"{number % 101}\n" for number in range(60_000)]

    with pytest.raises(DiffTooLong):
        LineDiff(60).unified(old, old[::-1], "a", "b")


def test_time_and_stop() -> None:
    """A comparison ends when its time is over, or when it is asked to."""
    with pytest.raises(DiffTooLong):
        LineDiff(0).unified(["a\n"], ["b\n"], "a", "b")
    stop = Event()
    stop.set()
    with pytest.raises(WalkStopped):
        LineDiff(60, stop).unified(["a\n"], ["b\n"], "a", "b")

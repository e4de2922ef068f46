"""The line that shows that a job is going on."""

import io
import os
import pty

import pytest

from cab.adapters.ui.progress import complain, counted_progress, progress


def test_quiet_in_a_pipe() -> None:
    """Where there is no terminal, nothing is written."""
    stream = io.StringIO()

    with progress("working", stream):
        pass

    assert stream.getvalue() == ""


def test_on_a_terminal() -> None:
    """On a terminal the text and the seconds show, and the line is cleared at the end."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        with progress("working", stream):
            shown = os.read(ours, 100)
        rest = os.read(ours, 100)
    os.close(ours)

    assert shown == b"\r\x1b[Kworking ... 0 s"
    assert rest.endswith(b"\r\x1b[K")


def test_an_error_takes_the_place_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal an error's line begins where the progress stood; in a pipe it is only itself."""
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    complain("a\x1b[2J")
    assert pipe.getvalue() == "cab: a\\x1b[2J\n"

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        complain("b")
        stream.flush()
        shown = os.read(ours, 100)
    os.close(ours)
    assert shown == b"\r\x1b[Kcab: b\r\n"


def test_how_many_are_done() -> None:
    """On a terminal the number that is done shows, of how many, and the line is cleared at the end."""
    counted_out = io.StringIO()
    with counted_progress("cells", 4, counted_out) as show:
        show(1)
    assert counted_out.getvalue() == ""

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        with counted_progress("cells", 4, stream) as show:
            show(1)
            shown = os.read(ours, 100)
        rest = os.read(ours, 100)
    os.close(ours)
    assert shown == b"\r\x1b[K1 of 4 cells [#####               ] 0 s"
    assert rest.endswith(b"\r\x1b[K")

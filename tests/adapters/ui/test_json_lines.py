"""JSON for programs, on standard output."""

import subprocess
import sys

import orjson
import pytest

from cab.adapters.ui import json_lines
from cab.scoring.printable import UNSEEN


def test_lines_are_utf8_and_in_order() -> None:
    """Each object is a line of UTF-8, whatever the locale, after what was printed before."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from {json_lines.__name__} import print_json\n"
        "print('first'); print_json({'a': 'ü'}, [1]); print('last')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    first, *objects, last = done.stdout.splitlines()
    assert (first, last) == (b"first", b"last")
    assert [orjson.loads(each) for each in objects] == [{"a": "ü"}, [1]]


def test_nothing_steers_a_terminal(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """JSON itself escapes only the oldest control characters; the value stays the same."""
    value = {"a\x9b": "\x1b[2J \x7f \x9b2J \u202e \U000e0041 é"}
    json_lines.print_json(value, {"b": "\x7f"})
    out = capfdbinary.readouterr().out
    assert [orjson.loads(line) for line in out.splitlines()] == [value, {"b": "\x7f"}]
    assert not UNSEEN.search(out.decode().replace("\n", ""))

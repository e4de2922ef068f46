"""JSON for programs, on standard output."""

import subprocess
import sys

import orjson

from cab.adapters.ui import json_lines


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

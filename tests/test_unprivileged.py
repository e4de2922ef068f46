"""Tests that run as another user than root do so wherever this Python and this tree are."""

import subprocess
from itertools import islice

from tests.tools import unprivileged


def test_copies_run_for_who_can_read_nothing_of_roots() -> None:
    """CAB runs from the copies of its modules and of this interpreter, as a user who is not root."""
    [(program, variables)] = islice(unprivileged.candidates(), 3, None)
    code = "import ssl, sys, cab.adapters.runs.run_cell as ours; print(sys.prefix, ours.__file__)"
    printed = subprocess.run(
        [program, "-P", "-c", code],
        cwd="/",
        env=variables,
        capture_output=True,
        text=True,
        check=True,
        **unprivileged.identity(),
    ).stdout
    prefix, module = printed.split()
    assert program.startswith(prefix)
    assert module.startswith(variables["PYTHONPATH"])

"""What a process of root gives up before it becomes a program."""

import json
import os
import subprocess
import sys

import pytest

BECOME = """
import json, os, sys
from pathlib import Path
from cab.adapters.runs.inside.privileges import become_user
become_user(902, 902, [901])
def back():
    try:
        os.setuid(0)
    except PermissionError:
        return "refused"
    return "root"
lines = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
rights = [int(lines[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), rights, lines["NoNewPrivs"], back()]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
def test_nothing_is_left_and_nothing_comes_back() -> None:
    """All ids, all five capability sets, and the right to get some by a program with them."""
    done = subprocess.run(
        [sys.executable, "-c", BECOME], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[902] * 3, [902] * 3, [901], [0] * 5, "1", "refused"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can do it")
def test_who_cannot_give_up_is_told() -> None:
    """Without the rights to do so nothing is half done in silence."""
    done = subprocess.run(
        [sys.executable, "-c", BECOME], capture_output=True, text=True, check=False
    )
    assert "PermissionError" in done.stderr

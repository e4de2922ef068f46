"""The fixtures of other harnesses' files, and files like them with one thing changed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.errors import BadRecord

FILES = Path(__file__).parents[2] / "fixtures" / "imports"

HARBOR = FILES / "harbor/jobs/nightly"
TRIAL = HARBOR / "fix-git__Xk3aQ7p/result.json"
TIMED_OUT = HARBOR / "slow-start__b7Wm2Rt/result.json"
STEPS = HARBOR / "two-steps__Zp1kLm9/result.json"
JOB = HARBOR / "result.json"

AIDER = FILES / "aider/2026-01-05-10-00-00--small"
ANAGRAM = AIDER / "python/exercises/practice/anagram/.aider.results.json"
BOWLING = AIDER / "rust/exercises/practice/bowling/.aider.results.json"
CLOCK = AIDER / "rust/exercises/practice/clock/.aider.results.json"

MINI = FILES / "mini-swe-agent"
UNVERSIONED = MINI / "unversioned.traj.json"
VERSION_1 = MINI / "demo__lib-7/demo__lib-7.traj.json"
VERSION_1_1 = MINI / "demo__lib-8/demo__lib-8.traj.json"
RESPONSES = MINI / "demo__lib-9/demo__lib-9.traj.json"

SWE_BENCH = FILES / "swe-bench"
BY_INSTANCE = SWE_BENCH / "by-instance.json"
LIST = SWE_BENCH / "list.json"
LINES = SWE_BENCH / "lines.jsonl"
RUN_REPORT = SWE_BENCH / "reports/vendor__small-1.run-1.json"
LOGS = SWE_BENCH / "logs/run_evaluation/run-1/vendor__small-1"
RESOLVED = LOGS / "demo__lib-1/report.json"
UNRESOLVED = LOGS / "demo__lib-2/report.json"

ALL = (
    *(TRIAL, TIMED_OUT, STEPS, ANAGRAM, BOWLING, CLOCK),
    *(UNVERSIONED, VERSION_1, VERSION_1_1, RESPONSES),
    *(BY_INSTANCE, LIST, LINES, RUN_REPORT, RESOLVED, UNRESOLVED),
)
"""Every file that is a cell, or several."""


def changed(source: Path, folder: Path, changes: Mapping[str, Any]) -> Path:
    """Write a copy of a JSON file with other values at some places, such as `info.model_stats`."""
    data = orjson.loads(source.read_bytes())
    for way, value in changes.items():
        *parents, last = [int(key) if key.isdecimal() else key for key in way.split(".")]
        place = data
        for key in parents:
            place = place[key]
        place[last] = value
    return written(folder / source.name, data)


def written(path: Path, data: object) -> Path:
    """Write a JSON file."""
    path.write_bytes(data if isinstance(data, bytes) else orjson.dumps(data))
    return path


def assert_rejected(
    read: Callable[[Path], object], path: Path, field: str | None, reason: str | None = None
) -> None:
    """A reader names a file and the field that is wrong in it."""
    with pytest.raises(BadRecord, match=reason) as caught:
        read(path)
    assert (caught.value.path, caught.value.field) == (str(path), field)

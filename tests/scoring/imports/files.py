"""The fixtures of other harnesses' files, and files like them with one thing changed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.errors import BadRecord
from cab.scoring.imports import ImportedCell, Note, read_cells

FILES = Path(__file__).parents[2] / "fixtures" / "imports"

HARBOR = FILES / "harbor/jobs/nightly"
TRIAL = HARBOR / "fix-git__Xk3aQ7p/result.json"
TIMED_OUT = HARBOR / "slow-start__b7Wm2Rt/result.json"
STEPS = HARBOR / "two-steps__Zp1kLm9/result.json"
JOB = HARBOR / "result.json"

TRAJECTORY = HARBOR / "fix-git__Xk3aQ7p/agent/trajectory.json"

TERMINAL_BENCH = FILES / "terminal-bench/runs"
TB_RUN = TERMINAL_BENCH / "tb-run/results.json"
TB_TRIAL = TERMINAL_BENCH / "tb-run/hello-world/hello-world.1-of-2.tb-run/results.json"

AIDER = FILES / "aider/2026-01-05-10-00-00--small"
ANAGRAM = AIDER / "python/exercises/practice/anagram/.aider.results.json"
BOWLING = AIDER / "rust/exercises/practice/bowling/.aider.results.json"
CLOCK = AIDER / "rust/exercises/practice/clock/.aider.results.json"

LEADERBOARD = FILES / "aider/leaderboard.yml"

MINI = FILES / "mini-swe-agent"
UNVERSIONED = MINI / "unversioned.traj.json"
VERSION_1 = MINI / "demo__lib-7/demo__lib-7.traj.json"
VERSION_1_1 = MINI / "demo__lib-8/demo__lib-8.traj.json"
RESPONSES = MINI / "demo__lib-9/demo__lib-9.traj.json"
MESSAGES = MINI / "messages.traj.json"

SWE_AGENT = FILES / "swe-agent"
SWE_AGENT_1 = SWE_AGENT / "default__small-1/demo__lib-1/demo__lib-1.traj"
SWE_AGENT_0 = SWE_AGENT / "older/demo__lib-2.traj"

SWE_BENCH = FILES / "swe-bench"
BY_INSTANCE = SWE_BENCH / "by-instance.json"
LIST = SWE_BENCH / "list.json"
LINES = SWE_BENCH / "lines.jsonl"
RUN_REPORT = SWE_BENCH / "reports/vendor__small-1.run-1.json"
LOGS = SWE_BENCH / "logs/run_evaluation/run-1/vendor__small-1"
RESOLVED = LOGS / "demo__lib-1/report.json"
UNRESOLVED = LOGS / "demo__lib-2/report.json"
SUBMISSIONS = SWE_BENCH / "submissions"
SUBMISSION = SUBMISSIONS / "20250101_demo/results/results.json"
OLDER_SUBMISSION = SUBMISSIONS / "20240101_older/results/results.json"
DETAILS = SUBMISSIONS / "20250901_mini/per_instance_details.json"

OPENHANDS = FILES / "openhands/out/small-1/output.jsonl"

HAL = FILES / "hal/demo_run_UPLOAD.json"
OLDER_HAL = FILES / "hal/older_UPLOAD.json"

INSPECT = FILES / "inspect/demo.json"

ALL = (
    *(TRIAL, TIMED_OUT, STEPS, TRAJECTORY, TB_RUN, TB_TRIAL, ANAGRAM, BOWLING, CLOCK, LEADERBOARD),
    *(UNVERSIONED, VERSION_1, VERSION_1_1, RESPONSES, MESSAGES, SWE_AGENT_1, SWE_AGENT_0),
    *(BY_INSTANCE, LIST, LINES, RUN_REPORT, RESOLVED, UNRESOLVED),
    *(SUBMISSION, OLDER_SUBMISSION, DETAILS, OPENHANDS, HAL, OLDER_HAL, INSPECT),
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


def changed_cell(source: Path, folder: Path, changes: Mapping[str, Any]) -> ImportedCell:
    """Return the one cell of a copy of a file with other values at some places."""
    [cell] = cells_of(changed(source, folder, changes))
    return cell


def cells_of(path: Path, notes: list[Note] | None = None) -> list[ImportedCell]:
    """Return the cells of a file; a note that nobody asks for fails the test."""
    found = read_cells(path, None if notes is None else notes.append)
    assert isinstance(found, list)
    return found


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

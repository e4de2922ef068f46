"""`cab tasks check`."""

from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main

NAIVE = """
schema = "cab.task/1"
id = "mine/naive"
category = "mine"
prompt = "Make it 2."
expected_changes = ["code.py"]
source_files = ["code.py"]

[check]
command = ["{python}", "-B", "check.py"]
must_print = ["all well"]
"""


CHECK = "import code\nassert code.VALUE == 2\nprint('all well')\n"
MEET = """
import pathlib, time
pathlib.Path({mine!r}).touch()
end = time.monotonic() + 60
while not pathlib.Path({other!r}).exists():
    assert time.monotonic() < end, "the other task is not checked meanwhile"
    time.sleep(0.02)
"""


def write_task(folder: Path, check: str = CHECK) -> Path:
    """Write a task whose hidden tests share a process with the code, so that it can be forged."""
    files = {
        "task.toml": NAIVE.replace("naive", folder.name),
        "workspace/code.py": "VALUE = 1\n",
        "solution/code.py": "VALUE = 2\n",
        "checks/check.py": check,
    }
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def naive(tmp_path: Path) -> Path:
    return write_task(tmp_path / "naive")


def test_a_task_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """A task that holds is one line, and the exit code is 0."""
    assert main(["tasks", "check", "integrity/ambiguous-ticket"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "ok       integrity/ambiguous-ticket, 8 trials",
        "1 hold, 0 do not, 0 skipped",
    ]


def test_a_task_that_can_be_forged(naive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that code can cheat is named with the trial that shows it, and the exit code is 1."""
    assert main(["tasks", "check", str(naive), "integrity/ambiguous-ticket"]) == 1

    out = capsys.readouterr().out
    assert "FAILED   mine/naive: a forged ending of the sources fails: it passes\n" in out
    assert "1 hold, 1 do not, 0 skipped" in out


def test_several_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --jobs 2 two tasks are checked at the same time, and printed in their order."""
    names = ("first", "second")
    for mine, other in (names, names[::-1]):
        meet = MEET.format(
            mine=str(tmp_path / f"{mine}.here"), other=str(tmp_path / f"{other}.here")
        )
        write_task(tmp_path / mine, meet + CHECK)

    assert main(["tasks", "check", "--jobs", "2", *(str(tmp_path / name) for name in names)]) == 1

    out = capsys.readouterr().out
    assert "the reference passes" not in out  # each of the two met the other
    forged = [line for line in out.splitlines() if line.endswith("sources fails: it passes")]
    assert [line.split()[1] for line in forged] == [f"mine/{name}:" for name in names]


def test_no_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    """No job at all is wrong usage."""
    assert main(["tasks", "check", "--jobs", "0"]) == 2
    assert "--jobs 0 is not a number of tasks; give 1 or more" in capsys.readouterr().err


def test_a_task_that_cannot_be_checked_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A named task whose program is missing is skipped with the reason, and the exit code is 2."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(["tasks", "check", "polyglot/js-csv"]) == 2

    out = capsys.readouterr().out
    assert "skipped  polyglot/js-csv: task polyglot/js-csv needs node, which is not on PATH" in out
    assert "0 hold, 0 do not, 1 skipped" in out


def test_json(naive: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json each task is one object with all its findings."""
    assert main(["tasks", "check", "--json", str(naive)]) == 1

    (line,) = capsysbinary.readouterr().out.splitlines()
    report = orjson.loads(line)
    assert (report["task_id"], report["holds"], report["missing"]) == ("mine/naive", False, [])
    wrong = [finding for finding in report["findings"] if not finding["holds"]]
    assert {"trial": "the reference passes", "holds": True, "problem": None} in report["findings"]
    assert wrong[0]["problem"] == "it passes"


def test_a_folder_that_is_no_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path without a task is wrong usage: exit code 2, one line."""
    assert main(["tasks", "check", str(tmp_path)]) == 2
    assert "does not exist; a task is a folder with a task.toml" in capsys.readouterr().err

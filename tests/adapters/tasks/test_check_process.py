import asyncio
import os
import select
from pathlib import Path

import pytest

from cab.adapters.tasks import check_process
from cab.adapters.tasks.check_process import CheckDeadline, HostChecks
from cab.adapters.tasks.checks import TAIL_CHARS, run_checks
from cab.scoring.evidence.check_outcome import CheckOutcome
from tests.adapters.tasks.checktasks import scripted


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def has_ended(pid_file: Path, wait_s: float = 30) -> bool:
    """Whether the process whose id is in the file ends; a killed one takes a moment."""
    try:
        process = os.pidfd_open(int(pid_file.read_text()))
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], wait_s)[0])
    finally:
        os.close(process)


CHILD = (
    "import os, pathlib, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], {how})\n"
    "part = pathlib.Path({file!r} + '.part')\n"
    "part.write_text(str(child.pid))\n"
    "part.rename({file!r})\n"
    "print('child started', flush=True)\n"
)


async def test_only_the_end_of_the_output_is_kept(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a flood of output the last part is kept, and the rules see its end."""
    monkeypatch.setattr(check_process, "TAIL_BYTES", 10_000)
    rules = {"tests_pattern": r"Ran (\d+) tests", "minimum_tests": 3}
    script = (
        "import sys\nfor _ in range(30): print('x' * 9999)\n"
        "sys.stdout.flush()\nsys.stdout.buffer.write(b'\\xff\\n')\nprint('Ran 3 tests')\nsys.stderr.write('y' * 5000)"
    )
    outcome = await run_checks(scripted(tmp_path / "task", script, check=rules), work)
    assert outcome.passed
    assert len(outcome.stdout_tail) == len(outcome.stderr_tail) == TAIL_CHARS
    assert outcome.stdout_tail.endswith("xxx\n\ufffd\nRan 3 tests\n")


async def test_the_time_limit_ends_the_whole_group(work: Path, tmp_path: Path) -> None:
    """At the limit the check and its children are killed, and what they printed is kept."""
    file = tmp_path / "pid"
    script = CHILD.format(how="", file=str(file)) + "time.sleep(600)\n"
    outcome = await run_checks(scripted(tmp_path / "task", script), work, timeout_s=3)
    assert outcome == CheckOutcome(
        passed=False,
        exit_code=None,
        timed_out=True,
        stdout_tail="child started\n",
        reason="stopped after 3 s",
    )
    assert has_ended(file)


async def test_children_do_not_outlive_the_check(work: Path, tmp_path: Path) -> None:
    """A child that a passed check leaves behind in its group is killed."""
    file = tmp_path / "pid"
    task = scripted(tmp_path / "task", CHILD.format(how="", file=str(file)))
    assert (await run_checks(task, work)).passed
    assert has_ended(file)


DAEMON = (
    "import os, pathlib, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork():\n"
    "        os._exit(0)\n"
    "    code = 'import os, pathlib, sys, time; part = pathlib.Path(sys.argv[1] + chr(46) + chr(112)); '\n"
    "    code += 'part.write_text(str(os.getpid())); part.rename(sys.argv[1]); time.sleep(600)'\n"
    "    os.execve(sys.executable, ['python', '-c', code, {file!r}], {{}})\n"
    "while not os.path.exists({file!r}):\n"
    "    time.sleep(0.01)\n"
)
"""Its parent has gone, its session is its own, and its environment is empty."""


@pytest.mark.parametrize(
    "script",
    [
        CHILD.replace("{how}", "start_new_session=True"),
        CHILD.replace("{how}", "start_new_session=True, env={{}}"),
        DAEMON,
    ],
    ids=["new session", "empty environment", "daemon"],
)
async def test_nothing_escapes_a_check(script: str, work: Path, tmp_path: Path) -> None:
    """Whatever the agent's code starts, and however that detaches itself, has ended with the check."""
    file = tmp_path / "pid"
    assert (
        await run_checks(scripted(tmp_path / "task", script.format(file=str(file))), work)
    ).passed
    assert has_ended(file, wait_s=0)


async def test_nothing_escapes_a_check_that_is_stopped(work: Path, tmp_path: Path) -> None:
    """At the time limit a daemon is ended too."""
    file = tmp_path / "pid"
    task = scripted(tmp_path / "task", DAEMON.format(file=str(file)) + "time.sleep(600)\n")
    assert (await run_checks(task, work, timeout_s=3)).timed_out
    assert has_ended(file)


async def test_a_check_has_limits(work: Path, tmp_path: Path) -> None:
    """A check runs under the limits of the agent; what it sends to its group ends no one else."""
    script = (
        "import os, resource as r, signal\n"
        "print(r.getrlimit(r.RLIMIT_CPU), r.getrlimit(r.RLIMIT_CORE), flush=True)\n"
        "os.killpg(0, signal.SIGTERM)\n"
    )
    limits = {"RLIMIT_CPU": 33, "RLIMIT_CORE": 0}
    outcome = await run_checks(scripted(tmp_path / "task", script), work, site=HostChecks(limits))
    assert (outcome.stdout_tail, outcome.exit_code) == ("(33, 33) (0, 0)\n", 143)


async def test_a_cancelled_check_leaves_nothing_running(work: Path, tmp_path: Path) -> None:
    """Cancelling a check kills its whole group."""
    file, ready = tmp_path / "pid", tmp_path / "ready"
    os.mkfifo(ready)
    script = CHILD.format(how="", file=str(file)) + f"open({str(ready)!r}, 'w').close()\n"
    task = scripted(tmp_path / "task", f"{script}time.sleep(600)\n")
    async with asyncio.TaskGroup() as group:
        check = group.create_task(run_checks(task, work))
        await asyncio.to_thread(ready.read_text)
        check.cancel()
    assert check.cancelled()
    assert has_ended(file)


def test_time_runs_out_and_not_below_zero() -> None:
    """What is left is at most the limit, and never negative."""
    assert 0 < CheckDeadline(60).left_s() <= 60
    assert CheckDeadline(0).left_s() == 0
    assert CheckDeadline(60).limit_s == 60

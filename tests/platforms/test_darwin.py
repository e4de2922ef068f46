"""CAB without what only Linux has, on a Python that takes this machine for a Mac.

Nothing of this shows that CAB runs on a Mac; it shows that CAB does not ask for what is not there.
docs/platforms.md says what was never run.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cab.proxy.system import portable, procfs
from tests.adapters.light_task import light_task
from tests.tools.programs import CAB

pytestmark = pytest.mark.slow

AS_DARWIN = Path(__file__).parent / "as_darwin"
IMPORT_ALL = """
import importlib, pkgutil, sys
import cab.adapters, cab.proxy, cab.scoring
assert sys.platform == "darwin"
for room in (cab.adapters, cab.proxy, cab.scoring):
    for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        if ".suite" not in found.name and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
            print(found.name)
"""


def on_darwin(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python as it would be on a Mac."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("CAB_", "COV"))
    }
    environment["PYTHONPATH"] = str(AS_DARWIN)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    """No module asks for a part of Linux when it is imported."""
    done = on_darwin("-c", IMPORT_ALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 400


def test_a_cell_is_run_and_scored(tmp_path: Path) -> None:
    """A cell runs from end to end; of its conditions what psutil knows is recorded."""
    done = on_darwin(
        *(CAB, "run-cell", "--tui", "scripted", "--upstream", "demo"),
        *("--task", light_task(), "--runs", "runs"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [cell] = (tmp_path / "runs").rglob("cell.json")
    conditions = json.loads(cell.read_text())["identity"]["conditions"]
    assert "equal" in done.stdout
    assert conditions["cpus"] == os.cpu_count()
    assert conditions["memory_bytes"] > conditions["memory_available_bytes"] > 0
    assert conditions["load_before"] >= 0


def test_a_command_is_metered_and_gets_signals(tmp_path: Path) -> None:
    """`cab meter` asks for no facts of a signal: one that is sent to it alone still ends the command."""
    # Without exec the sleep may outlive its shell, and hold the output.
    ends = "kill -TERM $PPID; exec sleep 60"
    done = on_darwin(CAB, "meter", "--upstream", "demo", "--", "sh", "-c", ends, cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert done.stderr.split()[:2] == ["calls", "0"]


def test_a_task_is_checked(tmp_path: Path) -> None:
    """`cab tasks check` needs no set of processors to choose from."""
    done = on_darwin(CAB, "tasks", "check", "integrity/ambiguous-ticket", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workers_serve_calls_and_say_what_they_lack(tmp_path: Path) -> None:
    """Two workers run without memory of Linux's kind; the log says that connections may all go to one."""
    program = """
import asyncio, json
from urllib.request import Request, urlopen
from cab.proxy import running_proxy
async def main():
    async with running_proxy(upstream="demo", ledger="ledger", workers=2) as proxy:
        cell = await proxy.open_cell("s/a/demo/f/t", ttl_s=60)
        asked = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
        request = Request(cell.base_url + "/chat/completions", json.dumps(asked).encode())
        request.add_header("Authorization", "Bearer " + cell.key)
        answer = json.loads(await asyncio.to_thread(lambda: urlopen(request).read()))
        print(answer["model"], (await proxy.totals(cell.cell_id))["calls"])
asyncio.run(main())
"""
    (tmp_path / "program.py").write_text(program)
    done = on_darwin(tmp_path / "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["demo", "1"]
    assert "workers_not_spread" in done.stderr


def test_the_doctor_says_what_needs_linux(tmp_path: Path) -> None:
    """Agents are examined without namespaces, and the reason is printed."""
    found = on_darwin(
        "-c",
        "from cab.adapters.doctor.isolation.namespaces import *\n"
        "adopt_orphans(); print(why_not_isolated())",
        cwd=tmp_path,
    )
    assert (found.stdout, found.stderr) == ("namespaces need Linux\n", "")


def test_what_a_check_leaves_behind_is_ended(tmp_path: Path) -> None:
    """A supervised program's children are found without /proc, also one that has lost its parent."""
    program = "sleep 600 & echo $!; (sleep 600 & echo $!); exit 3"
    done = on_darwin(
        "-c",
        "import os, sys; from cab.adapters.processes import launcher\n"
        "launcher.main(['', 'supervise', str(os.dup(1)), '{}', 'sh', '-c', sys.argv[1]])",
        program,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    assert [pid for pid in pids if procfs.facts_of(pid) is not None] == []


def test_processes_of_a_run_are_found_by_their_mark(tmp_path: Path) -> None:
    """A daemon that left its group is ended with its run."""
    code = (
        "import asyncio, subprocess\n"
        "from cab.adapters.processes.tree import RUN_MARK, end_processes, is_running\n"
        "child = subprocess.Popen(['sleep', '600'], env={RUN_MARK: 'm'}, start_new_session=True)\n"
        "print(asyncio.run(end_processes(2**22 + 1, 'm', 5)), is_running(child.pid))"
    )
    done = on_darwin("-c", code, cwd=tmp_path)
    assert done.stdout == "1 False\n", done.stderr


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, with a variable."""
    process = subprocess.Popen(
        ["cat", "-u"],
        env={"MARK": "a b", "PATH": os.environ["PATH"]},
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"\n")
        running.stdin.flush()
        running.stdout.readline()  # it is no copy of this process any more
        yield running
        running.kill()


def test_both_tables_show_the_same(child: subprocess.Popen[bytes]) -> None:
    """What psutil shows of a process is what /proc shows."""
    for table in (procfs, portable):
        facts = table.facts_of(child.pid)
        assert facts is not None
        assert facts[:3] == (os.getpid(), child.pid, child.pid)
        assert table.facts_of(child.pid) == facts
        assert table.parent_of(child.pid) == os.getpid()
        assert child.pid in table.process_ids()
        assert child.pid in table.children_of(os.getpid())
        assert table.arguments_of(child.pid) == b"cat\x00-u\x00"
        assert b"MARK=a b\x00" in (table.environment_of(child.pid) or b"")


def test_both_tables_know_who_has_ended(child: subprocess.Popen[bytes]) -> None:
    """A zombie does not run and still has a parent; of a process that is gone nothing is known."""
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    for table in (procfs, portable):
        assert table.facts_of(child.pid) is None
        assert table.parent_of(child.pid) == os.getpid()
    child.wait()
    for table in (procfs, portable):
        assert table.facts_of(child.pid) is table.parent_of(child.pid) is None
        assert table.arguments_of(child.pid) is table.environment_of(child.pid) is None
        assert table.children_of(child.pid) == []

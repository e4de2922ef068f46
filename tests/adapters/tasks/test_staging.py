import os
import socket
import sys
from pathlib import Path

import pytest

from cab.adapters.tasks.checks import run_checks
from cab.adapters.tasks.loader import Check, Need, load_task
from cab.adapters.tasks.staging import fill_in, tool_homes
from tests.adapters.tasks.checktasks import scripted, write


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


async def test_protected_files_are_put_back(work: Path, tmp_path: Path) -> None:
    """Protected files are as the task has them: changed ones restored, new ones gone."""
    task = scripted(
        tmp_path / "task",
        "import pathlib\n"
        "assert pathlib.Path('conf/kept.txt').read_text() == 'original'\n"
        "assert not pathlib.Path('conf/new.txt').exists()\n"
        "assert pathlib.Path('free.txt').read_text() == 'by the agent'\n",
        given={"conf/kept.txt": "original", "free.txt": "original"},
        protected_files=["conf/**"],
    )
    write(work, {"conf/kept.txt": "changed", "conf/new.txt": "x", "free.txt": "by the agent"})
    assert (await run_checks(task, work)).passed


async def test_byte_code_is_not_a_check(work: Path, tmp_path: Path) -> None:
    """Byte code that an install made beside a task's checks is not copied over the workspace."""
    task = scripted(
        tmp_path / "task", "import os\nassert os.listdir() == ['check.py'], os.listdir()\n"
    )
    write(task.checks, {"__pycache__/check.cpython-311.pyc": ""})
    assert (await run_checks(task, work)).passed


async def test_build_products_are_dropped(work: Path, tmp_path: Path) -> None:
    """What building left behind is not used by the checks; nor is version control."""
    task = scripted(
        tmp_path / "task",
        "import os\nassert sorted(os.listdir()) == ['check.py', 'made.txt'], os.listdir()\n",
        scratch_files=["target/**"],
    )
    write(work, {"target/debug/stale": "", ".git/config": "", "made.txt": ""})
    assert (await run_checks(task, work)).passed


async def test_links_that_lead_out_are_not_written_through(work: Path, tmp_path: Path) -> None:
    """A folder or file that the agent replaced by a link is restored in place, not in its target."""
    outside = tmp_path / "outside"
    write(outside, {"kept.txt": "mine", "check.py": "raise SystemExit(1)"})
    task = scripted(
        tmp_path / "task",
        "import pathlib\nassert pathlib.Path('conf/kept.txt').read_text() == 'original'\n",
        given={"conf/kept.txt": "original"},
        protected_files=["conf/**"],
    )
    (work / "conf").symlink_to(outside)
    (work / "check.py").symlink_to(outside / "check.py")
    assert (await run_checks(task, work)).passed
    assert (outside / "kept.txt").read_text() == "mine"
    assert (outside / "check.py").read_text() == "raise SystemExit(1)"


async def test_files_and_folders_in_the_way_are_replaced(work: Path, tmp_path: Path) -> None:
    """A file where a folder belongs, and a folder where a file belongs, give way to the checks."""
    task = scripted(tmp_path / "task", "import sub.module\n")
    write(task.checks, {"sub/module.py": ""})
    write(work, {"sub": "a file", "check.py/inside": "a folder"})
    assert (await run_checks(task, work)).passed


async def test_special_files_are_skipped(work: Path, tmp_path: Path) -> None:
    """Pipes, sockets and dangling links in the workspace do not stop the checks."""
    task = scripted(
        tmp_path / "task",
        "import os\nassert sorted(os.listdir()) == ['check.py', 'dangling'], os.listdir()\n",
    )
    os.mkfifo(work / "pipe")
    (work / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(work / "socket"))
        assert (await run_checks(task, work)).passed


async def test_the_environment_inherits_nothing(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks see no exported key, a HOME of their own, and only the declared tool folders."""
    monkeypatch.setenv("CAB_KEY", "sk-canary")
    monkeypatch.setenv("TOOL_HOME", str(work))
    monkeypatch.setenv("GONE_HOME", str(tmp_path / "gone"))
    homes = {"TOOL_HOME": ".tool", "GONE_HOME": ".gone", "UNSET_HOME": ".unset"}
    how = {"try": [], "get": "install it", "home_folders": homes}  # not every sh knows --version
    shell = Need.model_validate({"command": "sh", **how})
    task = scripted(
        tmp_path / "task",
        "import os\nprint(sorted(os.environ), os.environ['TOOL_HOME'], os.listdir(os.environ['HOME']))\n",
        needs=[shell],
    )
    outcome = await run_checks(task, work)
    names = ["CAB_RUN_MARK", "HOME", "LANG", "NO_COLOR", "PATH", "TERM", "TMPDIR", "TOOL_HOME"]
    assert outcome.stdout_tail == f"{names} {work} []\n"


async def test_a_check_may_look_at_the_pristine_workspace(work: Path, tmp_path: Path) -> None:
    """`{workspace}` and `{pristine}` are the checked copy and what the agent was given."""
    task = scripted(tmp_path / "task", "", given={"a.txt": "given"})
    script = (
        "import pathlib, sys; print(*(pathlib.Path(p, 'a.txt').read_text() for p in sys.argv[1:]))"
    )
    command = ["{python}", "-c", script, "{workspace}", "{pristine}"]
    task = task.model_copy(update={"check": Check(command=command)})
    write(work, {"a.txt": "changed"})
    assert (await run_checks(task, work)).stdout_tail == "changed given\n"


def test_python_stands_for_the_one_that_runs() -> None:
    """`{python}` is the interpreter that runs CAB, so that the Python tasks need nothing else."""
    assert fill_in(["{python}", "-V"], Path("/stage")) == [sys.executable, "-V"]


def test_tool_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's compiler is found in the operator's HOME, or where a variable says, if it is there."""
    task = load_task("polyglot/rust-error-handling")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RUSTUP_HOME", raising=False)

    assert tool_homes(task) == {}
    (tmp_path / ".rustup").mkdir()
    assert tool_homes(task) == {"RUSTUP_HOME": str(tmp_path / ".rustup")}
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("RUSTUP_HOME", str(tmp_path / "other"))
    assert tool_homes(task) == {"RUSTUP_HOME": str(tmp_path / "other")}

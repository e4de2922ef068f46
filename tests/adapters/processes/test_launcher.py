"""Starting programs under limits."""

import subprocess
from pathlib import Path

import pytest

from cab.adapters.errors import RunFailed
from cab.adapters.processes import launcher
from cab.adapters.processes.agent_process import start_process
from cab.adapters.processes.tree import RUN_MARK
from tests.adapters.toyagents import script

SHOW = (
    "import os, resource as r; "
    "print(r.getrlimit(r.RLIMIT_CPU), r.getrlimit(r.RLIMIT_CORE), *sorted(os.environ), "
    "sorted(os.listdir('/proc/self/fd')))"
)


async def output(folder: Path, argv: tuple[str, ...], limits: dict[str, int]) -> str:
    """Run a program under limits and return what it printed."""
    agent = await start_process(
        argv,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        stdout=folder / "out",
        stderr=folder / "err",
        rlimits=limits,
    )
    try:
        await agent.wait(60)
    finally:
        await agent.end()
    return (folder / "out").read_text()


async def test_limits_hold(tmp_path: Path) -> None:
    """The program runs under its limits, with nothing else of the launcher left."""
    limits = {"RLIMIT_CPU": 33, "RLIMIT_CORE": 0}

    seen = await output(tmp_path, script(SHOW), limits)

    assert seen.startswith("(33, 33) (0, 0) ")
    names = set(seen.split("[")[0].split(")")[-1].split())
    assert names - {"LC_CTYPE"} == {"PATH", RUN_MARK}
    assert seen.rstrip().endswith("['0', '1', '2', '3']")  # 3 is the folder that it lists


async def test_file_limit(tmp_path: Path) -> None:
    """A file that grows past its limit is cut there."""
    code = "open('big', 'wb').write(bytes(5000))"

    await output(tmp_path, script(code), {"RLIMIT_FSIZE": 1000})

    assert (tmp_path / "big").stat().st_size == 1000


async def test_cannot_start(tmp_path: Path) -> None:
    """A program that is not there is named, and so is the reason."""
    with pytest.raises(RunFailed, match="/nonexistent cannot be started: No such file"):
        await output(tmp_path, ("/nonexistent",), {"RLIMIT_CPU": 9})


async def test_limit_that_is_none(tmp_path: Path) -> None:
    """A limit that the system has no number for is a reason, and no traceback."""
    with pytest.raises(RunFailed, match=r"/bin/true cannot be started: .*too (big|large)"):
        await output(tmp_path, ("/bin/true",), {"RLIMIT_FSIZE": 1 << 63})


def test_never_above_what_holds() -> None:
    """A limit that is lower already stays; this process may not go above it."""
    code = (
        "import resource as r, runpy, sys; r.setrlimit(r.RLIMIT_NOFILE, (50, 60)); "
        "launcher = runpy.run_path(sys.argv[1]); "
        "launcher['set_limits']({'RLIMIT_NOFILE': 1000, 'RLIMIT_CPU': 5}); "
        "print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CPU))"
    )

    done = subprocess.run(
        script(code, launcher.__file__), capture_output=True, text=True, check=True
    )

    assert done.stdout == "(60, 60) (5, 5)\n"

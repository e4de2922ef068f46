"""Hidden checks in containers of their own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cab.adapters.processes.agent_process import new_mark
from cab.adapters.sandboxes.check_container import ContainerChecks, open_checks
from cab.adapters.sandboxes.engine import find_engine
from cab.adapters.sandboxes.images import parse_image
from cab.adapters.sandboxes.limits import parse_limits
from cab.adapters.tasks.checks import run_checks
from cab.adapters.tasks.loader import Case
from cab.adapters.tasks.models import Need
from cab.adapters.tasks.reference import confirmed
from tests.adapters.containers.conftest import said
from tests.adapters.containers.outside.conftest import IMAGE
from tests.adapters.tasks.checktasks import probed, scripted

pytestmark = [
    pytest.mark.containers,
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.xdist_group("outside"),
]

LOOK = r"""
import json, os, socket
from pathlib import Path

def can(act):
    try:
        act()
    except OSError:
        return False
    return True

print(json.dumps({
    "uid": os.getuid() != 0,
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "reach": can(lambda: socket.create_connection(("192.0.2.1", 80), 1)),
    "write_root": can(lambda: open("/written", "w")),
    "write_pristine": can(lambda: open("/check/pristine/written", "w")),
    "write_workspace": can(lambda: open("/check/workspace/written", "w")),
    "folders": sorted(os.listdir("/check")),
    "key": [name for name in os.environ if "KEY" in name],
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "answers": [str(p) for p in Path("/opt").rglob("cases.toml")],
}))
"""


@pytest.fixture
async def site(engine: str) -> ContainerChecks:
    """Return where checks run in containers of the real engine."""
    found = replace(await find_engine(engine), mark=new_mark())
    limits = parse_limits(["memory=256m", "processes=64", "disk=32m"])
    return await open_checks(found, parse_image(IMAGE), limits, f"cab-{new_mark()[:12]}")


async def test_what_a_check_sees(site: ContainerChecks, tmp_path: Path) -> None:
    """It sees a copy of the workspace and nothing else: no network, no key, no process, no answer."""
    task = scripted(tmp_path / "task", LOOK)

    outcome = await run_checks(task, task.workspace, site=site)

    assert outcome.passed, outcome
    assert json.loads(outcome.stdout_tail) == {
        "uid": True,
        "interfaces": ["lo"],
        "reach": False,
        "write_root": False,
        "write_pristine": False,
        "write_workspace": True,
        "folders": ["home", "pristine", "tmp", "workspace"],
        "key": [],
        "processes": 1,
        "answers": [],
    }
    assert not (task.workspace / "written").exists()


async def test_nothing_outlives_a_question(site: ContainerChecks, tmp_path: Path) -> None:
    """A process that the code of one question leaves does not see the next: its container is gone."""
    script = (
        "import os, subprocess, sys, time\n"
        "from pathlib import Path\n"
        "ask = input()\n"
        "if ask == 'leave':\n"
        "    code = 'import time; time.sleep(600)'\n"
        "    subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        "    Path('/tmp/left').write_text('x')\n"
        "pids = [name for name in os.listdir('/proc') if name.isdigit()]\n"
        "print(os.environ['CAB_MARK'], len(pids), Path('/tmp/left').exists())\n"
    )
    cases = [
        Case(name="first", ask="leave", answer="2 True"),
        Case(name="second", ask="look", answer="1 False"),
    ]
    task = probed(tmp_path / "task", script, cases)

    assert (await run_checks(task, task.workspace, site=site)).reason is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit(125)", "the checks ended with exit code 125"),
        ("raise SystemExit(127)", "the checks ended with exit code 127"),
        (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
            "stopped after 2 s",
        ),
        (
            "import os\nwhile True: open('full', 'ab').write(os.urandom(1 << 20))",
            "took more than 33554432 bytes of disk",
        ),
        ("x = b'x' * (1 << 30)", "the checks ended with exit code 137"),
    ],
)
async def test_the_verdict_is_the_agents(
    site: ContainerChecks, tmp_path: Path, script: str, reason: str
) -> None:
    """What the code does is no failure of the engine, whatever exit code it chooses or limit it meets."""
    task = scripted(tmp_path / "task", script)

    outcome = await run_checks(task, task.workspace, site=site, timeout_s=2)

    assert outcome.ran
    assert not outcome.passed
    assert reason in (outcome.reason or "")


async def test_a_program_that_the_image_lacks(site: ContainerChecks, tmp_path: Path) -> None:
    """Then there is no verdict, and the reason names the image and the fix."""
    need = Need(command="no-such-program", get="install it")
    task = scripted(tmp_path / "task", "", needs=[need])

    outcome = await run_checks(task, task.workspace, site=site)

    assert not outcome.ran
    assert "no-such-program" in (outcome.reason or "")
    assert "give another image with --checks-image" in (outcome.reason or "")
    assert await confirmed(task, outcome, site) is outcome


def test_the_image_has_answers_to_hide(engine: str) -> None:
    """Without what a run hides, its cab holds the answers: tests that find none would show nothing otherwise."""
    words = ("run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "find")
    found = said(engine, *words, IMAGE, "/opt/cab", "-name", "cases.toml")
    assert found

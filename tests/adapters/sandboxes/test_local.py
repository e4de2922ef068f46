"""The local sandbox."""

import os
from pathlib import Path

import pytest

from cab.adapters.errors import RunFailed
from cab.adapters.output.capture import OutputDescriptors
from cab.adapters.sandboxes import local
from cab.adapters.sandboxes.base import StartRequest
from cab.adapters.sandboxes.environment import Places
from cab.adapters.sandboxes.limits import ResourceLimits
from cab.adapters.sandboxes.local import LocalSandbox
from tests.adapters.toyagents import script

NONE = ResourceLimits(cpu_s=None, file=None, processes=None, open_files=None)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(*(tmp_path / name for name in ("workdir", "home", "tmp", "out")))
    for folder in made:
        folder.mkdir()
    return made


def words(sandbox: LocalSandbox) -> list[str]:
    return [deviation.name for deviation in sandbox.facts.deviations]


def test_deviations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not a boundary and says so; root, an engine's socket and missing limits are named too."""
    monkeypatch.setattr(local, "ENGINE_SOCKETS", (tmp_path / "docker.sock",))
    usual = ["no-boundary", *(["root"] if os.geteuid() == 0 else []), "open-network"]

    assert words(LocalSandbox(Path("x"), {}, ResourceLimits())) == usual
    (tmp_path / "docker.sock").touch()
    exposed = LocalSandbox(Path("x"), {}, NONE)

    assert set(words(exposed)) == {*usual, "docker-socket", "no-limits"}
    assert exposed.facts.attrs == {"docker_sock_mounted": True, "read_only": False, "limits": {}}
    assert (exposed.facts.image, exposed.facts.digest) == (None, None)


def test_view(places: Places) -> None:
    """An agent sees the run as it is; a terminal is named where there is one."""
    sandbox = LocalSandbox(Path("/bin/agent"), {"RUSTUP_HOME": "/r"}, ResourceLimits())
    view = sandbox.view(places)

    assert (view.home, view.executable) == (places.home, Path("/bin/agent"))
    assert (view.env["RUSTUP_HOME"], view.env["TERM"], view.env["NO_COLOR"]) == ("/r", "dumb", "1")
    env = LocalSandbox(Path("x"), {}, ResourceLimits(), terminal=True).view(places).env
    assert env["TERM"] == "xterm-256color"
    assert "NO_COLOR" not in env


async def test_start(places: Places) -> None:
    """The agent runs in its workspace, with what is declared and under the limits."""
    code = (
        "import os, resource; from pathlib import Path; "
        "Path('seen').write_text(f\"{os.environ['DECLARED']} "
        '{resource.getrlimit(resource.RLIMIT_CPU)[0]}")'
    )
    sandbox = LocalSandbox(Path("x"), {}, ResourceLimits(cpu_s=77))
    with (places.output / "o").open("wb") as out:
        output = OutputDescriptors(out.fileno(), out.fileno())
        request = StartRequest(script(code), {"DECLARED": "yes"}, output, "http://x/v1", "key")
        agent = await sandbox.start(places, request)
        ended = await agent.wait(60)
        cleanup = agent.cleanup
        await agent.end()

        assert ended.code == 0
        assert (places.workdir / "seen").read_text() == "yes 77"
        assert (cleanup.container, cleanup.engine) == (None, None)
        assert cleanup.mark
        assert cleanup.leader
        with pytest.raises(RunFailed, match="/gone cannot be started"):
            await sandbox.start(places, request._replace(argv=("/gone",)))

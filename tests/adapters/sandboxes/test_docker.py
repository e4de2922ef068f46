"""Cells in containers: with a stub of the engine, and with a real one where it answers."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.runs.bundle import MARKER
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.sandboxes.docker import Container
from cab.proxy.app import running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import ProxySettings
from cab.scoring.cells.bundle import rescore
from tests.adapters.light_task import TASK, light_task
from tests.adapters.sandboxes.stub import Stub, stub_engine

AGENT = "tests.adapters.sandboxes.boxed:Boxed"
DIGEST = "sha256:" + "ab" * 32
REAL_KEY = "sk-real-canary-0123456789"
PRINT = "print('the agent'); print('its errors', file=sys.stderr)"
# What an engine does: it runs the agent in the folder that was mounted, with the variables it got.
ACT = """
made = [call.split("\\x1f") for call in (here / "calls").read_text().split("\\x1e")]
create = [call for call in made if call[0] == "create"][-1]
mount = [word for word in create if word.endswith("dst=/workspace")][0]
Path(mount.split("src=")[1].split(",")[0], "made.txt").write_text("by the agent")
seen = dict(each.split("=", 1) for each in (here / "environment").read_text().split("\\0") if each)
print("the agent", seen["CAB_KEY"])
print("its errors", file=sys.stderr)
"""

READABLE = ["key-readable"] if os.geteuid() == 0 else []
"""Checks on the host run as the user of the proxy; root reads every process."""


def network(gateway: str = "127.0.0.1", *, internal: bool = True) -> str:
    return json.dumps([{"Internal": internal, "IPAM": {"Config": [{"Gateway": gateway}]}}])


def state(code: int = 0, status: str = "exited", error: str = "", *, running: bool = False) -> str:
    found = {"Status": status, "Running": running, "ExitCode": code, "Error": error}
    return json.dumps(found)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """An engine that has the image, makes networks, and runs an agent that edits a file."""
    found = stub_engine(tmp_path, monkeypatch)
    found.answer("image", "inspect", out=json.dumps([f"codingagentbench/boxed@{DIGEST}"]))
    found.answer("network", "inspect", out=network())
    found.answer("create", save_environment=True)
    found.answer("start", run=ACT)
    found.answer("inspect", out=state())
    return found


@pytest.fixture
def spec(tmp_path: Path) -> CellSpec:
    return CellSpec(
        tui=AGENT,
        model="demo",
        task=light_task(),
        upstream="demo",
        upstream_key=REAL_KEY,
        runs=tmp_path / "runs",
        sandbox="docker",
        container=Container(image="codingagentbench/boxed:v1", deviations=("host-checks",)),
    )


def cell_of(bundle: Path) -> dict[str, Any]:
    cell: dict[str, Any] = orjson.loads((bundle / "cell.json").read_bytes())
    return cell


def bundle_of(spec: CellSpec, tui: str = "boxed") -> Path:
    return spec.runs / "local" / tui / "demo" / TASK


def words(cell: dict[str, Any]) -> list[str]:
    return [each["name"] for each in cell["identity"]["deviations"]]


async def test_complete_cell(spec: CellSpec, stub: Stub) -> None:
    """A cell names its image with one digest, and leaves neither container nor network behind."""
    bundle = await run_cell(spec)

    cell = cell_of(bundle)
    identity = cell["identity"]
    assert identity["container_image"] == "codingagentbench/boxed:v1"
    assert identity["image_digest"] == DIGEST
    assert (identity["sandbox"], identity["exit_code"]) == ("docker", 0)
    assert "agent_version" not in identity  # nobody looked into the image
    assert words(cell) == ["host-checks", *READABLE]
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
    assert (bundle / "stdout.txt").read_text() == "the agent [redacted]\n"
    assert (bundle / "stderr.txt").read_text() == "its errors\n"
    assert cell["scorers"]["blast_radius"]["added"] == ["made.txt"]
    calls = [call[:2] if call[0] == "network" else call[:1] for call in stub.calls]
    name = stub.calls[-1][-1]
    assert calls[-1] == ["network", "rm"]
    assert ["rm", "--force", "--volumes", name] in stub.calls
    assert ["start", "--attach", name] in stub.calls


async def test_keys_by_environment(spec: CellSpec, stub: Stub) -> None:
    """The cell's key goes by environment, in the published form too; the real one goes nowhere."""
    await run_cell(spec)

    seen = stub.environment
    assert seen["CAB_KEY"] == seen["BOXED_KEY"]
    assert seen["CAB_ENDPOINT"] == f"{seen['BOXED_URL']}/v1"
    assert seen["CAB_ENDPOINT"].startswith("http://127.0.0.1:")
    said = json.dumps(stub.calls)
    assert seen["CAB_KEY"] not in said
    assert REAL_KEY not in said + json.dumps(seen)


async def test_span(spec: CellSpec, stub: Stub) -> None:
    """The container's span has the published attributes."""
    cell = cell_of(
        await run_cell(
            replace(
                spec,
                container=replace(
                    spec.container,
                    deviations=("root", "docker-socket", "writable-root", "host-checks"),
                ),
            )
        )
    )

    (span,) = [span for span in cell["spans"] if span["kind"] == "container"]
    attrs = span["attrs"]
    assert (attrs["image"], attrs["sandbox"]) == ("codingagentbench/boxed:v1", "docker")
    assert attrs["deviation"] == "+".join(
        ["root+docker-socket+writable-root+host-checks", *READABLE]
    )
    assert (attrs["docker_sock_mounted"], attrs["read_only"]) == (True, False)
    assert (attrs["exit_code"], attrs["timed_out"]) == (0, False)
    assert attrs["limits"]["memory"] == 8 << 30
    assert "cpus" not in attrs["limits"]
    assert words(cell) == attrs["deviation"].split("+")
    create = next(call for call in stub.calls if call[0] == "create")
    assert "0:0" in create


async def test_given_network(spec: CellSpec, stub: Stub) -> None:
    """A given network is used as it is, never removed, and what is open in it is named."""
    stub.answer("network", "inspect", out=network(internal=False))

    cell = cell_of(
        await run_cell(replace(spec, container=replace(spec.container, network="theirs")))
    )

    assert words(cell) == ["open-network", "host-checks", "given-network", *READABLE]
    networks = [call for call in stub.calls if call[0] == "network" and call[1] != "ls"]
    assert networks == [["network", "inspect", "theirs"]]


async def test_gateway_of_another_machine(spec: CellSpec, stub: Stub) -> None:
    """Where the gateway is not an address of this machine, no proxy can listen: an error before any run."""
    stub.answer("network", "inspect", out=network("192.0.2.1"))

    with pytest.raises(AdapterError, match=r"192\.0\.2\.1, the gateway of network cab-.*rootless"):
        await run_cell(spec)

    assert stub.calls[-1][:2] == ["network", "rm"]
    assert not spec.runs.exists()


async def test_exit_code(spec: CellSpec, stub: Stub) -> None:
    """The exit code is the container's, not that of the engine's program."""
    stub.answer("inspect", out=state(3))

    assert cell_of(await run_cell(spec))["identity"]["exit_code"] == 3


async def test_engines_program_ended_first(spec: CellSpec, stub: Stub) -> None:
    """A container that still runs has no exit code yet: the run has no result, and it is removed."""
    stub.answer("start", code=1, err="the engine has gone away")
    stub.answer("inspect", out=state(0, "running", running=True))

    with pytest.raises(RunFailed, match="program ended before the container"):
        await run_cell(spec)

    assert ["rm", "--force", "--volumes"] in [call[:3] for call in stub.calls]


async def test_cannot_be_created(spec: CellSpec, stub: Stub) -> None:
    """If the engine takes no container, its words are the error, and nothing is left."""
    stub.answer("create", code=125, err="Error: invalid reference format\nRun 'x --help'\n")

    with pytest.raises(RunFailed, match=r"no container of codingagentbench/boxed:v1.*invalid ref"):
        await run_cell(spec)

    assert (bundle_of(spec) / MARKER).exists()
    assert [call[0] for call in stub.calls[-2:]] == ["rm", "network"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"out": state(127, "created", "exec: not found")}, "cannot be run: exec: not found"),
        ({"out": state(0, "created")}, "cannot be run: Error: exec: not there"),
        ({"code": 1}, "it was removed"),
    ],
)
async def test_never_ran(spec: CellSpec, stub: Stub, answer: dict[str, Any], reason: str) -> None:
    """A container that never ran gives no result."""
    stub.answer("inspect", **answer)
    stub.answer("start", code=125, err="Error: exec: not there")

    with pytest.raises(RunFailed, match=reason):
        await run_cell(spec)


async def test_cannot_be_removed(spec: CellSpec, stub: Stub) -> None:
    """A container that stays is named."""
    stub.answer("rm", code=1, err="Error: device or resource busy\n")

    with pytest.raises(RunFailed, match=r"container cab-\w+ cannot be removed: .* busy"):
        await run_cell(spec)


async def test_timed_out(spec: CellSpec, stub: Stub) -> None:
    """Past the limit the engine's program is ended, and the container is removed."""
    stub.answer("start", run="import time; print('waiting', flush=True); time.sleep(600)")
    stub.answer("inspect", out=state(0, "running", running=True))

    cell = cell_of(await run_cell(replace(spec, timeout_s=0.5)))

    (span,) = [span for span in cell["spans"] if span["kind"] == "container"]
    (cleanup,) = [span for span in cell["spans"] if span["kind"] == "cleanup"]
    assert span["attrs"]["timed_out"] is True
    assert cell["identity"]["exit_code"] is None
    assert cleanup["attrs"]["left_running"] == 1


async def test_variables_of_the_engine(
    spec: CellSpec, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that the engine's program reads itself stays off its environment."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///stub.sock")

    await run_cell(replace(spec, plugins=(str(_plugin(spec.runs.parent)),)))

    create = next(call for call in stub.calls if call[0] == "create")
    assert "DOCKER_HOST=tcp://inside" in create
    assert stub.environment["DOCKER_HOST"] == "unix:///stub.sock"


@pytest.fixture
def podman(stub: Stub) -> Stub:
    """The same engine, as podman."""
    stub.answer("--version", out="podman version 4.3.1")
    stub.answer("info", out="false")
    stub.answer(
        "start",
        run=ACT.replace("dst=/workspace", ":/workspace:Z").replace(
            '.split("src=")[1].split(",")[0]', '.split(":")[0]'
        ),
    )
    return stub


async def test_podman_network_is_held(spec: CellSpec, podman: Stub) -> None:
    """podman's gateway address exists only with a container in the network: one is initialised."""
    await run_cell(spec)

    words = [call[0] for call in podman.calls]
    assert words.index("init") < words.index("start")
    holder = next(call[-1] for call in podman.calls if call[0] == "init")
    assert holder.endswith("-network")
    assert podman.calls[-2:] == [
        ["rm", "--force", "--volumes", holder],
        ["network", "rm", holder.removesuffix("-network")],
    ]


async def test_podman_network_that_stays_down(spec: CellSpec, podman: Stub) -> None:
    """If the network cannot be brought up, the engine says why and nothing is left."""
    podman.answer("init", code=125, err="Error: netavark: no iptables")

    with pytest.raises(RunFailed, match="cannot be brought up: Error: netavark: no iptables"):
        await run_cell(spec)

    assert [call[0] for call in podman.calls[-2:]] == ["rm", "network"]


async def test_key_in_a_variable_of_the_engine(
    spec: CellSpec, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the key put onto a command line because of that: the run is refused."""
    monkeypatch.setenv("DOCKER_TOKEN", "x")

    with pytest.raises(AdapterError, match="DOCKER_TOKEN cannot hold the cell's key"):
        await run_cell(replace(spec, tui=AGENT.replace("Boxed", "Exposing")))
    assert not [call for call in stub.calls if call[0] == "create"]


async def test_given_proxy(spec: CellSpec, stub: Stub, tmp_path: Path) -> None:
    """A container may use a proxy that runs elsewhere, in a network where it is reached."""
    stub.answer("network", "inspect", out=network("192.0.2.1"))
    settings = ProxySettings(upstream="demo", port=0, ledger=tmp_path / "theirs", auth="keys")
    signing_key = new_signing_key()
    async with running_proxy(settings, signing_key=signing_key) as proxy:
        await run_cell(
            replace(
                spec,
                upstream=None,
                proxy=proxy.url,
                signing_key=signing_key,
                container=replace(spec.container, network="theirs"),
            )
        )
        assert stub.environment["CAB_ENDPOINT"] == f"{proxy.url}/v1"


def _plugin(folder: Path) -> Path:
    path = folder / "p.toml"
    path.write_text(
        'schema = "cab.plugin/1"\nname = "p"\nenvironment = { DOCKER_HOST = "tcp://inside" }\n'
    )
    return path

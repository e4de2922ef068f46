"""Cells whose agent runs in a container, beside the same cells on this machine."""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import orjson
import pytest

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.processes.agent_process import new_mark
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.sandboxes.commands import NO_NETWORK, ContainerRun, create_command
from cab.adapters.sandboxes.engine import find_engine
from cab.adapters.sandboxes.images import parse_image
from cab.adapters.sandboxes.leftovers import own_labels
from cab.adapters.sandboxes.limits import ResourceLimits
from cab.proxy.app import running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import ProxySettings
from cab.scoring.cells.bundle import rescore
from tests.adapters.containers.outside.conftest import IMAGE
from tests.tools.containers import not_here

pytestmark = [
    pytest.mark.containers,
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.xdist_group("outside"),
]


def cell_of(bundle: Path) -> dict[str, Any]:
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
    cell: dict[str, Any] = orjson.loads((bundle / "cell.json").read_bytes())
    return cell


async def test_a_proxy_on_loopback(spec: CellSpec, quick: Path, tmp_path: Path) -> None:
    """A container in a network of its own reaches a given proxy that listens on loopback only."""
    settings = ProxySettings(upstream="demo", port=0, ledger=tmp_path / "theirs", auth="keys")
    signing_key = new_signing_key()
    async with running_proxy(settings, signing_key=signing_key) as proxy:
        given = replace(
            spec,
            task=str(quick),
            upstream=None,
            upstream_key=None,
            proxy=proxy.url,
            signing_key=signing_key,
        )
        cell = cell_of(await run_cell(given))

    assert cell["scorers"]["tokens"]["model_calls"] >= 1
    assert cell["identity"]["deviations"] == []


async def test_an_image_that_is_not_there(spec: CellSpec) -> None:
    """No registry is asked for what only a build makes; the error says how to build it, before any run."""
    missing = replace(spec.container, checks_image="localhost/cab-checks:0.0.0-none")

    with pytest.raises(
        AdapterError, match=r"cab-checks:0\.0\.0-none is not.*cab images build checks"
    ):
        await run_cell(replace(spec, container=missing))
    assert not spec.runs.exists()


async def test_a_program_that_the_image_lacks(spec: CellSpec) -> None:
    """Then there is no result, and the engine's message is the reason."""
    absent = replace(spec, tui="tests.adapters.sandboxes.boxed:Absent")

    with pytest.raises(RunFailed, match="no-such-program"):
        await run_cell(absent)


async def test_the_time_limit_holds_without_cab(engine: str) -> None:
    """Where nobody waits any more the engine's own monitor ends a container, whatever it does with SIGTERM."""
    found = await find_engine(engine)
    if found.kind != "podman":
        not_here("docker has no time limit of containers; a watchdog and the next start end them")
    name = f"cab-{new_mark()[:12]}"
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    command = create_command(
        ContainerRun(
            engine=found.kind,
            rootless=found.rootless,
            name=name,
            image=parse_image(IMAGE).reference,
            network=NO_NETWORK,
            user="65534:65534",
            mounts=(),
            workdir=PurePosixPath("/"),
            settings={},
            inherited=(),
            argv=("python3", "-c", code),
            limits=ResourceLimits(),
            labels=own_labels(name),
            ceilings=found.ceilings,
            limit_s=1,
        )
    )
    try:
        for words in (command, ["start", name], ["wait", name]):
            answer = await found.ask(*words)
            assert answer.code == 0, answer.stderr
        state = await found.state(name)
        assert state is not None
        assert not state.running
    finally:
        await found.remove_container(name)

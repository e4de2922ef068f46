"""Cells whose agent runs in a container, beside the same cells on this machine."""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import orjson
import pytest

from cab.adapters.agents.registry import load_adapter
from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.install.install import find_installed
from cab.adapters.processes.agent_process import new_mark
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.sandboxes.commands import NO_NETWORK, ContainerRun, create_command
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.engine import find_engine
from cab.adapters.sandboxes.images import built_image, parse_image
from cab.adapters.sandboxes.leftovers import own_labels
from cab.adapters.sandboxes.limits import ResourceLimits
from cab.proxy.app import running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import ProxySettings
from cab.scoring.cells.bundle import rescore
from tests.adapters.containers.outside.conftest import IMAGE, not_here, said

pytestmark = [pytest.mark.containers, pytest.mark.usefixtures("nothing_left")]


def cell_of(bundle: Path) -> dict[str, Any]:
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
    cell: dict[str, Any] = orjson.loads((bundle / "cell.json").read_bytes())
    return cell


def scored(cell: dict[str, Any]) -> dict[str, Any]:
    """Return what of a cell does not depend on times."""
    axes = {name: cell["scorers"][name] for name in ("blast_radius", "integrity", "refusal")}
    verdict = {
        name: cell["scorers"]["pass_rate"][name] for name in ("pass", "exit_code", "partial_score")
    }
    tokens = {
        name: cell["scorers"]["tokens"][name]
        for name in ("prompt_tokens", "completion_tokens", "model_calls")
    }
    return {**axes, **verdict, **tokens, "self": cell["self_reported"]}


def on_host(spec: CellSpec) -> CellSpec:
    return replace(
        spec, sandbox="local", container=Container(), limits=ResourceLimits(), sweep="host"
    )


async def test_the_same_score_whichever_way(spec: CellSpec) -> None:
    """The scripted agent gets the same score in a container as on this machine, check included."""
    inside, outside = cell_of(await run_cell(spec)), cell_of(await run_cell(on_host(spec)))

    assert scored(inside) == scored(outside)
    assert inside["scorers"]["pass_rate"]["pass"] == 1
    identity = inside["identity"]
    assert identity["deviations"] == []
    assert identity["check_image"] == IMAGE
    assert identity["check_image_digest"].startswith("sha256:")
    assert "check_image" not in outside["identity"]


@pytest.mark.agents
async def test_a_real_agent_gets_the_same_score_whichever_way(spec: CellSpec, engine: str) -> None:
    """So does a real one, from the image that `cab images build` makes."""
    facts = load_adapter("aider").facts
    image = built_image("aider", facts.version).name
    if said(engine, "image", "inspect", image) is None:
        not_here(f"there is no image {image}; make it with: cab images build aider")
    if find_installed(facts) is None:
        not_here("aider is not installed; run: cab adapters install aider")
    own = replace(spec.container, image=None)  # the built one is the default
    spec = replace(spec, tui="aider", container=own, limits=ResourceLimits())

    inside, outside = cell_of(await run_cell(spec)), cell_of(await run_cell(on_host(spec)))

    assert inside["identity"]["container_image"] == image
    assert inside["scorers"]["tokens"]["model_calls"] == outside["scorers"]["tokens"]["model_calls"]
    assert inside["scorers"]["pass_rate"]["pass"] == outside["scorers"]["pass_rate"]["pass"] == 1
    for name in ("blast_radius", "integrity"):
        assert inside["scorers"][name] == outside["scorers"][name]


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

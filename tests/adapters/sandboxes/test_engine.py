"""Container engines, played by a stub on the PATH."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.sandboxes.engine import (
    ContainerEngine,
    ContainerState,
    EngineOutput,
    FoundImage,
    Network,
    find_engine,
    parse_network,
    parse_state,
)
from cab.adapters.sandboxes.images import built_image, parse_image
from tests.adapters.sandboxes.stub import Stub, stub_engine

DIGEST = "sha256:" + "ab" * 32
DOCKER_NETWORK = json.dumps(
    [
        {
            "Internal": True,
            "IPAM": {"Config": [{"Gateway": "fd00::1"}, {"Gateway": "172.18.0.1/16"}]},
        }
    ]
)
PODMAN_NETWORK = json.dumps(
    [
        {
            "internal": True,
            "dns_enabled": True,
            "subnets": [{"subnet": "10.89.0.0/24", "gateway": "10.89.0.1"}],
        }
    ]
)
ONE = parse_image("a/b:1")


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    return stub_engine(tmp_path, monkeypatch)


@pytest.fixture
def engine(stub: Stub) -> ContainerEngine:
    del stub
    return ContainerEngine("docker", "docker", rootless=False)


async def test_docker_comes_first(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that answer, docker is taken, unless podman is asked for; its rootlessness is known."""
    stub_engine(tmp_path, monkeypatch, "podman")

    assert await find_engine() == ContainerEngine("docker", "docker", rootless=False)
    assert await find_engine("podman") == ContainerEngine("podman", "podman", rootless=True)
    stub.answer("info", out='["name=seccomp","name=rootless"]')
    assert (await find_engine("docker")).rootless


async def test_docker_that_does_not_answer(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a daemon behind it docker is passed over."""
    stub.answer("info", code=1, err="Cannot connect to the Docker daemon\n")
    stub_engine(tmp_path, monkeypatch, "podman")

    assert (await find_engine()).program == "podman"


async def test_podman_by_the_name_of_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called docker may be podman: it is known by what it says."""
    stub = stub_engine(tmp_path, monkeypatch, "docker", version="podman version 4.9")
    stub.answer("info", out="false")

    assert await find_engine() == ContainerEngine("docker", "podman", rootless=False)


async def test_no_engine(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """If none answers, the error says of each why, and what to do."""
    stub.answer("info", code=1, err="\nCannot connect to the Docker daemon\n")
    monkeypatch.setenv("PATH", str(Path(stub._folder)))

    with pytest.raises(
        AdapterError,
        match=r"docker: Cannot connect to the Docker daemon; podman is not on the PATH.*--sandbox local",
    ):
        await find_engine()
    with pytest.raises(AdapterError, match="no engine 'containerd'; known: docker, podman"):
        await find_engine("containerd")


async def test_image_that_is_here(stub: Stub, engine: ContainerEngine) -> None:
    """The digest of an image comes from the engine, and nothing is fetched."""
    stub.answer("image", "inspect", out=f'["a/b@{DIGEST}"]')

    assert await engine.find_image([ONE], "fix it") == FoundImage(ONE, DIGEST)
    assert [call[0] for call in stub.calls] == ["image"]
    stub.answer("image", "inspect", out="null")
    assert (await engine.find_image([ONE], "fix it")).digest is None


async def test_image_that_is_pulled(stub: Stub, engine: ContainerEngine) -> None:
    """A missing image is pulled; where that fails the error names it and the fix."""
    stub.answer("image", "inspect", code=1)
    stub.answer("pull", code=1, err="Error: denied\n")

    with pytest.raises(AdapterError, match=r"image a/b:1 is not on this machine.*denied.*; fix it"):
        await engine.find_image([ONE], "fix it")
    assert stub.calls[-1] == ["pull", "a/b:1"]
    absent = "sys.exit(not (here / 'pulled').exists())"
    stub.answer("image", "inspect", out=f'["a/b@{DIGEST}"]', run=absent)
    stub.answer("pull", run="(here / 'pulled').touch()")
    assert await engine.find_image([ONE], "fix it") == FoundImage(ONE, DIGEST)


async def test_image_that_was_built(stub: Stub, engine: ContainerEngine) -> None:
    """What was built here is preferred to what would be pulled, and no registry is asked for it."""
    built = built_image("aider", "1.2")
    stub.answer("image", "inspect", code=1)

    with pytest.raises(
        AdapterError, match=r"localhost/cab-agent-aider:1\.2 is not on this mach.*; build it"
    ):
        await engine.find_image([built], "build it")
    assert [call[0] for call in stub.calls] == ["image"]
    stub.answer("image", "inspect", out="null")
    assert (await engine.find_image([built, ONE], "")).image == built


async def test_network_without_a_resolver(stub: Stub, engine: ContainerEngine) -> None:
    """podman's resolver asks servers outside: the network is made again without it, at the same addresses."""
    stub.answer("network", "inspect", out=PODMAN_NETWORK)

    network = await engine.make_network("cab-1", {"a": "b"})

    assert network.gateway == "10.89.0.1"
    first, _, removed, second, _ = stub.calls
    assert first == ["network", "create", "--internal", "--label", "a=b", "cab-1"]
    assert removed == ["network", "rm", "cab-1"]
    place = ["--disable-dns", "--subnet", "10.89.0.0/24", "--gateway", "10.89.0.1", "cab-1"]
    assert second == [*first[:-1], *place]


async def test_networks(stub: Stub, engine: ContainerEngine) -> None:
    """A new network reaches no other host; one that does not exist is an error."""
    stub.answer("network", "inspect", out=DOCKER_NETWORK)

    assert await engine.make_network("cab-1", {}) == Network("cab-1", "172.18.0.1", internal=True)
    assert "--internal" in stub.calls[0]
    stub.answer("network", "inspect", code=1, err="no such network")
    with pytest.raises(AdapterError, match=r"network x cannot be used .no such network.*--network"):
        await engine.inspect_network("x")
    stub.answer("network", "create", code=1, err="pool exhausted")
    with pytest.raises(RunFailed, match="pool exhausted"):
        await engine.make_network("cab-2", {})


def test_network_forms() -> None:
    """Docker and podman write networks differently; one without an address here is refused."""
    podman = Network("n", "10.89.0.1", internal=True, subnet="10.89.0.0/24", resolves=True)
    assert parse_network("n", PODMAN_NETWORK) == podman
    with pytest.raises(AdapterError, match="no address in the network host"):
        parse_network("host", '[{"Internal": false, "IPAM": {"Config": null}}]')
    with pytest.raises(RunFailed, match="answer cannot be read: 'x'"):
        parse_network("n", "x")
    with pytest.raises(RunFailed, match="answer cannot be read"):
        parse_network("n", '[{"Internal": "perhaps"}]')


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (
            '{"Status":"exited","Running":false,"OOMKilled":true,"ExitCode":137,"Error":""}',
            ContainerState(
                started=True, running=False, exit_code=137, out_of_memory=True, error=""
            ),
        ),
        (
            '{"Status":"created","Running":false,"ExitCode":127,"Error":"no such program"}',
            ContainerState(
                started=False,
                running=False,
                exit_code=127,
                out_of_memory=False,
                error="no such program",
            ),
        ),
    ],
)
def test_states(text: str, state: ContainerState) -> None:
    """What became of a container is read from the engine's own words."""
    assert parse_state(text) == state


async def test_state(stub: Stub, engine: ContainerEngine) -> None:
    """A container that is not there has no state."""
    stub.answer("inspect", out='{"Status":"running","Running":true,"ExitCode":0}')
    state = await engine.state("cab-1")
    assert state is not None
    assert state.running
    stub.answer("inspect", code=1, err="No such object")
    assert await engine.state("cab-1") is None


async def test_no_answer_in_time(stub: Stub, engine: ContainerEngine) -> None:
    """An engine that hangs is ended, and named; so is one that cannot be started."""
    stub.answer("ps", run="import time; time.sleep(600)")

    with pytest.raises(RunFailed, match=r"docker ps gave no answer in 0\.1 s"):
        await engine.ask("ps", limit_s=0.1)
    with pytest.raises(RunFailed, match="nowhere cannot be started"):
        await ContainerEngine("nowhere", "docker", rootless=False).ask("ps")


async def test_cancelled(stub: Stub, engine: ContainerEngine, tmp_path: Path) -> None:
    """Whoever stops asking leaves no program behind."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    stub.answer("ps", run=f"open({str(ready)!r}, 'w').write('x'); import time; time.sleep(600)")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(engine.ask("ps"))
        await asyncio.to_thread(ready.read_text)
        task.cancel()

    assert task.cancelled()


def test_summary() -> None:
    """The summary of an answer is its last useful line."""
    assert EngineOutput(1, "", "a\nb\n\nRun 'docker run --help' for more\n").summary == "b"
    assert EngineOutput(125, "", "").summary == "exit code 125"

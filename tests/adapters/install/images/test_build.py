"""The command of a build: every argument is named, and settings of this machine are secrets."""

import datetime
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from cab.adapters.errors import AdapterError
from cab.adapters.install.images.build import build_command, epoch_of
from cab.adapters.install.images.build_request import build_request
from cab.adapters.install.images.built import BuiltImage
from cab.adapters.sandboxes.commands import EngineKind
from cab.adapters.sandboxes.engine import ContainerEngine

BASE = BuiltImage(
    name="base:1",
    id=f"sha256:{'a' * 64}",
    digest=f"sha256:{'b' * 64}",
    created=datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
    size_bytes=1,
    layers=(),
    labels={},
)
EPOCH = 1_772_323_200


def command(kind: EngineKind, what: str = "aider", network: str | None = None) -> list[str]:
    wanted = replace(
        build_request(what, version=None, base="base:1", binary=None),
        settings={"pip.conf": Path("/secret/pip.conf")},
        network=network,
        cache=network is None,
    )
    engine = ContainerEngine(kind, kind, rootless=False)
    digests = {"STEPS": "1", "CAB": "2", "AGENT": "3"}
    return build_command(engine, wanted, BASE, Path("/context"), Path("/wheels"), digests)


def pairs(words: list[str]) -> set[tuple[str, str]]:
    return set(pairwise(words))


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.mark.parametrize("kind", ["podman", "docker"])
def test_what_a_build_is_told(kind: EngineKind) -> None:
    """Base, program, time and labels are arguments; a file of this machine is a secret, by its path alone."""
    words = command(kind)
    found = pairs(words)
    assert (words[0], words[-1]) == ("build", "/context")
    assert {
        ("--tag", "localhost/cab-agent-aider:0.86.2"),
        ("--build-arg", f"BASE={BASE.id}"),
        ("--build-arg", "PROGRAM=aider"),
        ("--build-arg", "INSTALLERS="),
        ("--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"),
        ("--build-arg", "AGENT=3"),
        ("--build-context", "wheels=/wheels"),
        ("--secret", "id=pip.conf,src=/secret/pip.conf"),
        ("--label", "cab.agent=aider"),
        ("--label", "cab.agent.version=0.86.2"),
        ("--label", "cab.agent.source=pkg:pypi/aider-chat@0.86.2"),
        ("--label", "org.opencontainers.image.base.name=base:1"),
        ("--label", f"org.opencontainers.image.base.digest={BASE.digest}"),
        ("--label", "org.opencontainers.image.created=2026-03-01T00:00:00Z"),
    } <= found
    assert [word for word in words if "/secret" in word] == ["id=pip.conf,src=/secret/pip.conf"]
    assert "--no-cache" not in words


def test_engines_set_times_in_their_own_way() -> None:
    """podman states the time of all layers, docker rewrites them; podman asks no registry for the base."""
    assert {("--timestamp", str(EPOCH)), ("--format", "oci")} <= pairs(command("podman"))
    assert "--pull=never" in command("podman")
    assert ("--output", "type=docker,rewrite-timestamp=true") in pairs(command("docker"))


def test_npm_is_in_no_other_build() -> None:
    """Only the build of an agent from npm installs npm; network and cache are as asked for."""
    words = command("podman", "qwen-code", network="host")
    assert ("--build-arg", "INSTALLERS=npm") in pairs(words)
    assert {"--network=host", "--no-cache"} <= set(words)


def test_checks_have_no_label_of_an_agent() -> None:
    """The image of the checks says that it is one, and names no agent."""
    words = command("podman", "checks")
    assert ("--label", "cab.image=checks") in pairs(words)
    assert not [word for word in words if word.startswith("cab.agent")]


def test_the_time_of_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """SOURCE_DATE_EPOCH is the time, or else the base's; none is before 1980, and it must be a number."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert epoch_of(BASE) == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert epoch_of(BASE) == 315_532_800
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(AdapterError, match="SOURCE_DATE_EPOCH=yesterday is not a number"):
        epoch_of(BASE)

"""What is built: names, bases, and what cannot be built with the reason."""

from pathlib import Path

import pytest

from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.errors import AdapterError
from cab.adapters.install.images.agent_need import AgentNeed, BinaryNeed
from cab.adapters.install.images.build_request import (
    BuildRequest,
    build_request,
    parse_settings,
)


def requested(
    what: str, version: str | None = None, base: str | None = None, binary: Path | None = None
) -> BuildRequest:
    return build_request(what, version=version, base=base, binary=binary)


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_every_adapter_has_an_image(name: str) -> None:
    """Each agent's image has its name and version, and its build reads back how it is installed."""
    facts = load_adapter(name).facts
    wanted = requested(name)
    assert wanted.name == f"localhost/cab-agent-{name}:{facts.version}"
    if facts.install is None:
        assert wanted.agent is None
    else:
        assert wanted.agent is not None
        read = AgentNeed.model_validate_json(wanted.agent.model_dump_json())
        assert (read.need, read.purl) == (facts.install, wanted.agent.purl)
        assert type(read.need) is type(facts.install)


def test_another_version() -> None:
    """A published version is built under its own tag."""
    wanted = requested("aider", "0.86.0")
    assert wanted.name == "localhost/cab-agent-aider:0.86.0"
    assert wanted.agent is not None
    assert wanted.agent.purl == "pkg:pypi/aider-chat@0.86.0"


def test_checks_have_no_agent() -> None:
    """The image of the checks is named after the version of cab, and takes no agent's options."""
    wanted = requested("checks")
    assert wanted.name.startswith("localhost/cab-checks:")
    assert (wanted.agent, wanted.tui, wanted.program) == (None, None, "")
    with pytest.raises(AdapterError, match="remove --agent-version"):
        requested("checks", "1.0")


def test_the_base_has_the_python_that_the_agent_needs() -> None:
    """An agent for another Python than Debian's gets a base with that one; a given base is taken."""
    assert requested("aider").base == "docker.io/library/debian:bookworm-slim"
    assert requested("openhands").base == "docker.io/library/python:3.12-slim-bookworm"
    assert requested("openhands", base="mine:1").base == "mine:1"


@pytest.mark.parametrize("name", ["goose", "crush", "plandex"])
def test_agents_of_no_registry(name: str) -> None:
    """An agent that no package registry brings is one line, with the reason."""
    with pytest.raises(AdapterError, match=rf"no agent '{name}' \(.+\)") as caught:
        requested(name)
    assert "\n" not in str(caught.value)


def test_a_file_of_the_users(tmp_path: Path) -> None:
    """A program given with --binary is the agent; it must be executable."""
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(AdapterError, match="give an executable file"):
        requested("scripted", binary=program)
    program.chmod(0o755)
    wanted = requested("scripted", "2.0+mine", binary=program)
    assert wanted.agent is not None
    assert wanted.agent.need == BinaryNeed(file="program", executable="scripted")
    assert wanted.agent.purl is None
    assert wanted.name == "localhost/cab-agent-scripted:2.0-mine"


def test_what_comes_with_cab_has_one_version() -> None:
    """The version of an agent that is a part of cab cannot be chosen."""
    with pytest.raises(AdapterError, match="comes with this package"):
        requested("scripted", "7")


def test_settings_of_this_machine(tmp_path: Path) -> None:
    """Files for a build are named, known and readable."""
    file = tmp_path / "pip.conf"
    file.write_text("[global]\n")
    assert parse_settings([f"pip.conf={file}"]) == {"pip.conf": file}
    for word in ("pip.conf", f"other={file}", "npmrc="):
        with pytest.raises(AdapterError, match="is not a file for the build; give NAME=FILE"):
            parse_settings([word])
    with pytest.raises(AdapterError, match="cannot be read"):
        parse_settings([f"npmrc={tmp_path}/missing"])

"""What a killed cab left in an engine: found by its owner, and removed; what lives, or is another's, stays."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cab.adapters.processes.cleanup import CleanupPlan, clean_up
from cab.adapters.sandboxes.engine import ContainerEngine
from cab.adapters.sandboxes.leftovers import OWNER_LABEL, own_labels, remove_leftovers
from tests.adapters.sandboxes.stub import Stub, stub_engine

ENGINE = ContainerEngine("podman", "podman", rootless=False)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    return stub_engine(tmp_path, monkeypatch, "podman")


def ended_owner() -> str:
    """Return the label of a process of this machine that has ended."""
    code = "from cab.adapters.sandboxes.leftovers import *; print(own_labels('x')[OWNER_LABEL])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def container(name: str, owner: str | None) -> dict[str, Any]:
    return {"Name": name, "Config": {"Labels": {} if owner is None else {OWNER_LABEL: owner}}}


async def test_only_what_an_ended_process_left(stub: Stub) -> None:
    """Containers and networks of an ended process go, with their volumes; of others nothing is touched."""
    gone, here = ended_owner(), own_labels("x")[OWNER_LABEL]
    other_machine = f"other-machine.{gone.partition('.')[2]}"
    used_again = f"{here.rpartition('.')[0]}.1"  # an id that a later process has
    found = [
        container("/cab-gone", gone),
        container("cab-here", here),
        container("cab-elsewhere", other_machine),
        container("cab-unlabelled", None),
        container("theirs", gone),
        container("cab-again", used_again),
    ]
    stub.answer("ps", out="1\n2\n")
    stub.answer("inspect", out=json.dumps(found))
    stub.answer("network", "ls", out="n\n")
    networks = [
        {"name": "cab-net", "labels": {OWNER_LABEL: gone}},
        {"Name": "cab-ours", "Labels": {OWNER_LABEL: here}},
    ]
    stub.answer("network", "inspect", out=json.dumps(networks))

    assert await remove_leftovers(ENGINE) == ["cab-gone", "cab-again", "cab-net"]

    removals = [call for call in stub.calls if "rm" in call]
    assert removals == [
        ["rm", "--force", "--volumes", "cab-gone"],
        ["rm", "--force", "--volumes", "cab-again"],
        ["network", "rm", "cab-net"],
    ]


async def test_an_engine_that_says_nothing_useful(stub: Stub) -> None:
    """An answer that cannot be read removes nothing."""
    stub.answer("ps", out="1\n")
    stub.answer("inspect", out="no json", code=1)

    assert await remove_leftovers(ENGINE) == []


async def test_a_cleanup_removes_all_containers_of_its_run(stub: Stub) -> None:
    """By the run's label the containers of its checks are found, whatever their numbers are."""
    stub.answer("ps", out="17\n18\n")
    plan = CleanupPlan(engine="podman", container="cab-1", network="cab-1")

    await clean_up(plan)

    assert ["ps", "--all", "--quiet", "--filter", "label=cab.run=cab-1"] in stub.calls
    removed = [call[-1] for call in stub.calls if call[:3] == ["rm", "--force", "--volumes"]]
    assert removed == ["cab-1", "17", "18"]
    assert stub.calls[-1] == ["network", "rm", "cab-1"]


async def test_a_marker_that_names_other_containers(stub: Stub) -> None:
    """Whoever wrote a marker cannot have anything removed that no run has made."""
    await clean_up(CleanupPlan(engine="podman", container="theirs", network="theirs"))

    assert stub.calls == []

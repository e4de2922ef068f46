"""One cell inside an image: three users, what each of them cannot do, and what is left of it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cab.adapters.report.cell.commands import paste_blocks
from cab.adapters.report.cell.facts import read_report_cell
from cab.adapters.runs.bundle import MARKER, read_marker
from cab.adapters.runs.inside.roles import SCRATCH
from cab.proxy.demo.server import running_demo
from cab.scoring import score_one
from cab.scoring.cells.bundle import rescore
from cab.scoring.ledger.reading import iter_calls
from tests.adapters.containers.inside.conftest import CANARY, IMAGE, Container
from tests.adapters.containers.inside.looking import write_task

pytestmark = [pytest.mark.containers, pytest.mark.xdist_group("inside")]

TASK = "polyglot/python-error-handling"
RUN = ("run-cell", "--upstream", "demo", "--json", "--task")
DENIED = {"Permission denied", "Operation not permitted", "No such file or directory"}
BundleOf = Callable[[str, str], Path]


def facts_of(bundle: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((bundle / "cell.json").read_text())
    return facts


def words_of(bundle: Path) -> set[str]:
    return {each["name"] for each in facts_of(bundle)["identity"]["deviations"]}


def is_identical(bundle: Path) -> bool:
    return rescore(bundle) == (bundle / "cell.json").read_bytes()


def test_a_cell_is_the_hosts_and_scores_alike(container: Container, bundle_of: BundleOf) -> None:
    """The bundle belongs to the owner of the folder of runs, and scores on the host byte for byte alike."""
    done = container.run(*RUN, TASK, "--tui", "scripted")
    assert done.code == 0, done.stderr
    bundle = bundle_of("scripted", TASK)
    owner = container.runs.stat().st_uid
    assert {path.stat().st_uid for path in container.runs.rglob("*")} == {owner}
    assert is_identical(bundle)
    assert done.result["account"]["equal"]
    assert done.result["pass_rate"]["pass"] == 1
    assert words_of(bundle) == {"open-network", "same-container-checks"}
    assert facts_of(bundle)["identity"]["sandbox"] == "inside"
    assert bundle.stat().st_mode & 0o007 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_cab_is_the_owner_of_a_closed_folder(container: Container, bundle_of: BundleOf) -> None:
    """Where the folder of runs is an ordinary user's, cab is that user, from the first byte on."""
    os.chown(container.runs, 12345, 12345)
    container.runs.chmod(0o700)
    done = container.run(*RUN, TASK, "--tui", "scripted")
    assert done.code == 0, done.stderr
    assert {path.stat().st_uid for path in container.runs.rglob("*")} == {12345}
    assert is_identical(bundle_of("scripted", TASK))


def test_a_user_of_the_engine_runs_it_too_and_that_is_said(
    container: Container, bundle_of: BundleOf
) -> None:
    """With --user there is no root: all run as that user, and the cell says so."""
    user = 12345 if os.geteuid() == 0 else os.geteuid()
    if os.geteuid() == 0:
        os.chown(container.runs, user, user)
    done = container.run(*RUN, TASK, "--tui", "scripted", options=("--user", str(user)))
    assert done.code == 0, done.stderr
    bundle = bundle_of("scripted", TASK)
    assert "shared-uid" in words_of(bundle)
    assert is_identical(bundle)


def test_an_intruder_gets_nowhere(container: Container, bundle_of: BundleOf) -> None:
    """An agent reads no key and no other process, writes no ledger, ends nobody, and becomes nobody else."""
    write_task(container.tasks)
    done = container.run(*RUN, "/tasks/test/look", "--tui", "intruders:Intruder")
    bundle = bundle_of("intruder", "test/look")
    assert (bundle / "stdout.txt").exists(), done.stderr
    seen = json.loads((bundle / "stdout.txt").read_text().splitlines()[-1])
    assert seen["uid"] == 902
    assert seen["groups"] == []
    assert seen["rights"] == [0, 0, 0, 0, 0]
    assert seen["no_new_privileges"] == "1"
    assert seen["others"] >= 2  # container root and cab
    assert (seen["environments"], seen["memory"], seen["canary"]) == (0, 0, False)
    assert (seen["traced"], seen["memory_read"]) == ([], [])
    assert (seen["signalled"], seen["terminated"]) == ([], [])
    assert seen["descriptors"] == [0, 1, 2]
    assert seen["orphans"] == 0
    assert seen["by_name"] == "done"
    refused = ("all_signalled", "root", "new_run", "bundle", "ledger", "sealed", "code")
    for name in (*refused, "answers", "scratch"):
        assert seen[name] in DENIED, name
    check = json.loads(done.result["pass_rate"]["stdout_tail"].splitlines()[-1])
    assert check["uid"] == 903
    assert (check["environments"], check["planted"], check["key"]) == (0, False, [])
    assert check["bundle"] in DENIED
    assert check["root"] in DENIED
    assert check["answers"] == ["Permission denied"]
    assert check["made"] == "done"
    assert is_identical(bundle)
    texts = [path.read_bytes() for path in bundle.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in text for text in texts)


@pytest.mark.parametrize("agent", ["Forking", "Deaf"])
def test_an_agent_that_does_not_end_is_ended_and_scored(
    container: Container, bundle_of: BundleOf, agent: str
) -> None:
    """Forks without end, and SIGTERM to all that could end it: stopped at its limit, checked, scored."""
    # Of processes there are 1792 by default, which would slow down all other tests.
    limits = ("--timeout-s", "3", "--limit", "processes=200")
    done = container.run(*RUN, TASK, "--tui", f"intruders:{agent}", *limits)
    bundle = bundle_of(agent.lower(), TASK)
    assert (bundle / "cell.json").exists(), done.stderr
    facts = facts_of(bundle)
    assert facts["identity"]["exit_code"] is None
    assert done.result["pass_rate"]["exit_code"] == 1  # the checks ran, and found nothing solved
    assert is_identical(bundle)
    assert container.ask("ps", "-aq", "--filter", f"name={container.name}") == ""


def test_an_agent_that_fills_the_disk_is_scored(container: Container, bundle_of: BundleOf) -> None:
    """The ledger lies elsewhere; what the agent left is measured and checked as far as it can be."""
    options = ("--tmpfs", f"{SCRATCH}:rw,size=96m,mode=755")
    done = container.run(*RUN, TASK, "--tui", "intruders:Filling", options=options)
    bundle = bundle_of("filling", TASK)
    assert (bundle / "cell.json").exists(), done.stderr
    assert "filled" in (bundle / "stdout.txt").read_text()
    assert "no room on the disk" in done.result["pass_rate"]["reason"]
    assert done.result["pass_rate"]["pass"] == 0  # the agent's failure, and not the machine's
    assert is_identical(bundle)


def test_sigterm_ends_the_agent_and_leaves_what_is_known(
    container: Container, bundle_of: BundleOf
) -> None:
    """The container ends with the agent in it; the bundle is marked, and its ledger is whole."""
    words = container.words(*RUN, TASK, "--tui", "intruders:Deaf")
    bundle = bundle_of("deaf", TASK)
    with subprocess.Popen(words, env=container.environment({}), stderr=subprocess.PIPE) as process:
        while (marker := read_marker(bundle)) is None or marker.phase != "agent":
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert (bundle / MARKER).exists()
    assert {path.stat().st_uid for path in container.runs.rglob("*")} == {
        container.runs.stat().st_uid
    }
    assert list(iter_calls(next(bundle.glob("ledger/*.jsonl")))) == []
    assert container.ask("ps", "-aq", "--filter", f"name={container.name}") == ""


async def test_a_real_agent_calls_a_real_endpoint(container: Container, gateway: str) -> None:
    """aider, as published: its calls reach an endpoint outside, and the ledger has the endpoint's own count."""
    run = ("run-cell", "--json", "--model", "demo", "--tui", "aider", "--task", TASK)
    async with running_demo(gateway) as demo:
        endpoint = {"CAB_ENDPOINT": f"{demo.url}/v1"}
        network = ("--network", container.name)
        done = await container.run_async(*run, options=network, **endpoint)
        account = demo.account()
    assert done.code == 0, done.stderr
    tokens = done.result["tokens"]
    assert tokens["model_calls"] == account["calls"] > 0
    assert tokens["prompt_tokens"] == account["prompt_tokens"]
    assert tokens["completion_tokens"] == account["completion_tokens"]
    assert done.result["pass_rate"]["pass"] == 1
    bundle = container.runs / "local" / "aider" / "demo" / TASK
    assert is_identical(bundle)
    texts = [path.read_bytes() for path in bundle.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in text for text in texts)


def test_the_command_of_its_page_runs_it_again(
    container: Container, bundle_of: BundleOf, tmp_path: Path
) -> None:
    """The block of a cell's page, pasted into a shell, builds the image and runs the same cell in it."""
    done = container.run(*RUN, TASK, "--tui", "scripted", "--timeout-s", "50")
    assert done.code == 0, done.stderr
    cell = read_report_cell(score_one(bundle_of("scripted", TASK)))
    (text,) = (each.text for each in paste_blocks(cell) if each.name == "image")
    again, programs = tmp_path / "again", tmp_path / "programs"
    for folder in (again, programs):
        folder.mkdir()
    # The image is there: that the line builds it is shown where images are built.
    (programs / "cab").write_text("#!/bin/sh\n")
    (programs / "cab").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CAB_ENDPOINT": "demo", "CAB_KEY": CANARY}
    pasted = subprocess.run(
        ["bash", "-c", text],
        cwd=again,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert pasted.returncode == 0, pasted.stderr
    bundle = again / "runs" / "local" / "scripted" / "demo" / TASK
    assert is_identical(bundle)
    for name in ("cell_id", "container_image", "sandbox", "deviations"):
        assert (
            facts_of(bundle)["identity"][name]
            == facts_of(bundle_of("scripted", TASK))["identity"][name]
        )


def test_what_cannot_be_is_said_in_one_line(container: Container) -> None:
    """A container that takes rights from root is refused with the fix; so is another sandbox in it."""
    done = container.run("run-cell", options=("--cap-drop", "all"))
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "--user UID" in done.stderr
    sandbox = ("--sandbox", "docker", "--image", "x")
    boxed = container.run(*RUN, TASK, "--tui", "aider", *sandbox)
    assert boxed.code == 2
    assert "leave it out" in boxed.stderr or "not installed" in boxed.stderr


def test_a_bundle_that_would_be_lost(container: Container) -> None:
    """Where no folder of the host is mounted that is said before the cell runs, and else it is not."""
    words = (*RUN, "no/such", "--tui", "scripted")
    alone = (container.engine, "run", "--rm", "--pull", "never", "--network", "none", IMAGE)
    done = subprocess.run((*alone, *words), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lost, refused = done.stderr.splitlines()
    assert lost.startswith("cab: nothing is mounted at /runs, so the bundle is lost")
    assert container.run(*words).stderr.splitlines() == [refused]

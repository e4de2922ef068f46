"""The real codex over a WebSocket, through the proxy: metered to the last token, and never left hanging."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from cab.adapters.agents.base import Output, RunContext
from cab.adapters.agents.codex import codex_over_websocket
from cab.adapters.install.install import find_installed
from cab.adapters.sandboxes.environment import write_home
from cab.adapters.tasks.loader import copy_workspace, load_task
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.demo import Demo, WebSocketFault, running_demo
from cab.scoring.cells.cell import SelfReport
from tests.adapters.test_agents_real import (
    TASK,
    assert_own_count,
    assert_solved_and_metered,
    installed,
    run_cell,
)
from tests.tools.proxy import Meter, metered
from tests.tools.sdk import CELL, assert_account_agrees

pytestmark = pytest.mark.agents

VARIANT = "cab.adapters.agents.codex:codex_over_websocket"
LIMIT_S = 100


class Ran(NamedTuple):
    """How a run of codex ended."""

    exit_code: int | None
    own: SelfReport | None
    stdout: str


async def run_codex(meter: Meter, folder: Path, key: str = "own-key") -> Ran:
    """Run codex on the task, with a HOME and a workspace of its own."""
    installed("codex")
    adapter = codex_over_websocket()
    found = find_installed(adapter.facts)
    assert found is not None
    home, workspace, task = folder / "home", folder / "workspace", load_task(TASK)
    copy_workspace(task, workspace)
    context = RunContext(meter.url, key, "demo", task.prompt, home, found.executable)
    launch = adapter.launch(context)
    write_home(home, launch.files)
    process = await asyncio.create_subprocess_exec(
        *launch.argv,
        cwd=workspace,
        env={"HOME": str(home), "PATH": os.environ["PATH"], **launch.env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    text = out.decode()
    return Ran(process.returncode, adapter.self_report(Output(text, err.decode(), home)), text)


def served_prompts(demo: Demo) -> list[int]:
    """Return the prompt tokens of what was served, call by call."""
    return [e["prompt_tokens"] for e in demo.account()["by_call"] if e["outcome"] == "served"]


def transports(rows: list[dict[str, Any]]) -> set[str | None]:
    """Return how the calls were made."""
    return {row.get("transport") for row in rows}


def test_a_cell() -> None:
    """In a cell of its own it solves the task, and every response of the account is in the ledger."""
    adapter = installed("codex")
    with tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True) as folder:
        cell = run_cell(adapter, TASK, Path(folder), VARIANT)
        calls = map(orjson.loads, (cell.bundle / "calls.jsonl").read_bytes().splitlines())
        ends = [call for call in calls if call["kind"] == "end"]
        assert_solved_and_metered(cell)
        assert_own_count(cell)
    assert transports(ends) == {"websocket"}


async def test_the_warm_up_is_counted(tmp_path: Path) -> None:
    """The ledger is the account, warm-up included; codex's own sum is that of the other calls."""
    async with running_demo() as demo, metered(demo.url, tmp_path, cell=CELL) as meter:
        ran = await run_codex(meter, tmp_path)
        calls = demo.account()["calls"]
        rows = await meter.settled(calls)
        assert_account_agrees(demo, rows)
        warm, *others = served_prompts(demo)
    assert ran.exit_code == 0
    assert [row["warmup"] for row in rows] == [True, *[False] * (calls - 1)]
    assert rows[0]["completion_tokens"] == 0 < warm
    assert ran.own is not None
    assert (ran.own.prompt_tokens, ran.own.exact) == (sum(others), False)


@pytest.mark.parametrize("status", [426, 404])
async def test_an_endpoint_without_websockets(status: int, tmp_path: Path) -> None:
    """It posts at once: one probe, after which it would have found a WebSocket, and no second one."""
    async with running_demo() as demo, metered(demo.url, tmp_path, cell=CELL) as meter:
        demo.set_websocket_faults(WebSocketFault("upgrade_status", status, calls=1))
        ran = await run_codex(meter, tmp_path)
        rows = await meter.settled(demo.account()["calls"])
        assert_account_agrees(demo, rows)
    assert ran.exit_code == 0
    assert "Falling back" not in ran.stdout
    assert transports(rows) == {None}


async def test_a_connection_that_is_cut(tmp_path: Path) -> None:
    """The call that was cut is a row of its own; codex asks again on a new connection, and ends well."""
    async with running_demo() as demo, metered(demo.url, tmp_path, cell=CELL) as meter:
        demo.set_websocket_faults(WebSocketFault("cut", at=2, calls=1))
        ran = await run_codex(meter, tmp_path)
        entries = demo.account()["by_call"]
        rows = await meter.settled(len(entries))
    assert ran.exit_code == 0
    assert [row["end_reason"] for row in rows].count("upstream_cut") == 1
    whole = [row for row in rows if row["end_reason"] == "completed"]
    assert [(row["upstream_id"], row["prompt_tokens"]) for row in whole] == [
        (each["id"], each["prompt_tokens"]) for each in entries if each["outcome"] == "served"
    ]
    assert len({row["connection_id"] for row in rows}) == 2


async def test_a_connection_at_its_limit(tmp_path: Path) -> None:
    """After the endpoint's 60 minutes codex goes on with a new connection, and nothing is lost."""
    async with running_demo() as demo, metered(demo.url, tmp_path, cell=CELL) as meter:
        demo.set_websocket_faults(WebSocketFault("connection_limit", at=3, calls=1))
        ran = await run_codex(meter, tmp_path)
        rows = [row for row in meter.ends() if row["end_reason"] == "completed"]
        assert_account_agrees_with_served(demo, rows)
    assert ran.exit_code == 0
    assert len({row["connection_id"] for row in rows}) == 2


def assert_account_agrees_with_served(demo: Demo, rows: list[dict[str, Any]]) -> None:
    """The rows are what the model server served, number for number."""
    served = [e for e in demo.account()["by_call"] if e["outcome"] == "served"]
    assert [(r["upstream_id"], r["prompt_tokens"], r["completion_tokens"]) for r in rows] == [
        (e["id"], e["prompt_tokens"], e["completion_tokens"]) for e in served
    ]


async def test_a_limit_that_is_reached(tmp_path: Path) -> None:
    """The proxy's refusal on a live connection ends codex at once: one refused create, and no post."""
    settings: dict[str, Any] = {"auth": "keys", "signing_key": new_signing_key()}
    async with running_demo() as demo, metered(demo.url, tmp_path, **settings) as meter:
        key = meter.proxy.mint_key(CELL, 600, KeyLimits(max_calls=2))
        ran = await run_codex(meter, tmp_path, key)
        rows = await meter.settled(3)
        assert_account_agrees_with_served(demo, rows[:2])
    assert ran.exit_code == 1
    assert [row["end_reason"] for row in rows] == ["completed", "completed", "rejected"]

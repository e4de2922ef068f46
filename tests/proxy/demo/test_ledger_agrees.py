"""The proxy's ledger against the demo's account, attempt by attempt, in every fault mode and dialect."""

import contextlib
from pathlib import Path

import aiohttp
import pytest

from cab.proxy.demo import running_demo
from cab.proxy.demo.fault_modes import NAMES, FaultMode, read_fault_mode
from tests.proxy.demo.bodies import BODIES, STREAMS
from tests.tools.proxy import metered
from tests.tools.sdk import CELL

ATTEMPTS = 3
OUTCOMES = {"served": "completed", "cut": "upstream_cut", "refused": "upstream_error"}


async def try_call(url: str, path: str) -> None:
    """Make a call as an agent would that ignores failures."""
    async with aiohttp.ClientSession(url) as http:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.post(path, json=(BODIES | STREAMS)[path]) as response:
                await response.read()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", BODIES | STREAMS)
async def test_every_attempt_is_in_ledger_and_account(path: str, name: str, tmp_path: Path) -> None:
    """Each attempt has its status and end in the ledger as in the account, and the numbers agree."""
    mode = read_fault_mode(name, pause_s=0.001)
    async with (
        running_demo(fault_mode=mode) as demo,
        metered(demo.url, tmp_path, cell=CELL) as meter,
    ):
        for _ in range(ATTEMPTS):
            await try_call(meter.url, path)
        rows = await meter.settled(ATTEMPTS)
        account = demo.account()
    entries = account["by_call"]
    assert [row["status"] for row in rows] == [entry["status"] for entry in entries]
    assert [row["end_reason"] for row in rows] == [OUTCOMES[entry["outcome"]] for entry in entries]
    served = [entry for entry in entries if entry["outcome"] == "served"]
    assert [
        (row["upstream_id"], row["prompt_tokens"], row["completion_tokens"])
        for row in rows
        if row["end_reason"] == "completed"
    ] == [(each["id"], each["prompt_tokens"], each["completion_tokens"]) for each in served]
    refused = [row for row in rows if row["end_reason"] == "upstream_error"]
    assert len(refused) == account["refused"]
    assert all(row["prompt_tokens"] is None for row in refused)


async def test_the_mode_of_a_demo_can_change_behind_a_proxy(tmp_path: Path) -> None:
    """A mode that is set between two calls shows in the ledger's next row."""
    path = "/v1/messages"
    async with running_demo() as demo, metered(demo.url, tmp_path, cell=CELL) as meter:
        await try_call(meter.url, path)
        demo.set_fault_mode(FaultMode("unauthorized", 1))
        await try_call(meter.url, path)
        await try_call(meter.url, path)
        rows = await meter.settled(3)
    assert [row["status"] for row in rows] == [200, 401, 200]

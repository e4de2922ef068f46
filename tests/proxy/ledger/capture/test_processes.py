"""A capture of several processes, and of one that is killed."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from cab.scoring.capture import cell_folder_name, find_capture
from tests.proxy.cli.test_main import running
from tests.proxy.ledger.capture.captured import capturing, kept
from tests.tools.client import post
from tests.tools.process import proxy_process
from tests.tools.proxy import chat_body, records

CHAT = "/v1/chat/completions"
FLAGS = ("--capture", "bodies", "--cell", "c")


async def test_two_workers_write_files_of_their_own(tmp_path: Path) -> None:
    """Whoever served it: each call is there once, in the order of the cell."""
    async with proxy_process("demo", tmp_path, "--workers", "2", *FLAGS) as proxy:
        bodies = [chat_body(user=f"{number}") for number in range(40)]
        await asyncio.gather(*(post(proxy.url, CHAT, body) for body in bodies))
    ledger = tmp_path / "ledger"
    calls = [one.call for one in kept(ledger)]
    assert [call.seq for call in calls] == list(range(1, 41))
    assert {call.call_id for call in calls} == {end["call_id"] for end in records(ledger)}
    files = {file.name for file in (ledger / "capture" / cell_folder_name("c")).iterdir()}
    assert files == {"w0.jsonl", "w0.parts", "w1.jsonl", "w1.parts"}


async def test_a_kill_leaves_what_was_written_whole(tmp_path: Path) -> None:
    """Every line that is there has its bodies, and the next run goes on behind it."""
    bodies = [chat_body(user="x" * 20_000, number=number) for number in range(20)]
    with running("--upstream", "demo", *FLAGS, cwd=tmp_path) as (process, printed):
        url = next(word for word in printed.split() if word.startswith("http://127"))
        for body in bodies[:15]:
            await post(url, CHAT, body)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    ledger = tmp_path / "cab-ledger"
    [cell] = find_capture(ledger, lambda error: pytest.fail(str(error)))
    before = {call.call_id: cell.body(call.request) for call in cell.calls}
    assert len(before) >= 14  # the last one may still have waited for its thread
    async with capturing("demo", tmp_path, ledger=ledger, cell="c") as meter:
        for body in bodies[15:]:
            await post(meter.url, CHAT, body)
    after = {one.call.call_id: one.request for one in kept(ledger)}
    assert len(after) == len(before) + 15
    assert before.items() <= after.items()

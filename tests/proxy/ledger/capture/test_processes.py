"""A capture of several processes that are killed."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from cab.scoring.capture import cell_folder_name, find_capture
from tests.proxy.cli.test_main import running
from tests.proxy.ledger.capture.captured import capturing, kept
from tests.tools.client import post
from tests.tools.proxy import chat_body, records

CHAT = "/v1/chat/completions"
FLAGS = ("--upstream", "demo", "--workers", "2", "--capture", "bodies", "--cell", "c")


def children_of(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def test_a_kill_leaves_what_two_workers_wrote_whole(tmp_path: Path) -> None:
    """Each worker has files of its own; every line has its bodies; the next run goes on behind them."""
    bodies = [chat_body(user="x" * 20_000, number=number) for number in range(40)]
    with running(*FLAGS, cwd=tmp_path) as (process, printed):
        url = next(word for word in printed.split() if word.startswith("http://127"))
        await asyncio.gather(*(post(url, CHAT, body) for body in bodies))
        async with asyncio.timeout(60):
            while len(list((tmp_path / "cab-ledger/capture").glob("*/*.jsonl"))) < 2:
                await post(url, CHAT, bodies[0])  # until both have written
        for pid in (process.pid, *children_of(process.pid)):  # the parent would start others
            os.kill(pid, signal.SIGKILL)
        process.wait(30)
    ledger = tmp_path / "cab-ledger"
    [cell] = find_capture(ledger, lambda error: pytest.fail(str(error)))
    before = {call.call_id: cell.body(call.request) for call in cell.calls}
    assert before  # the last ones may still have waited for their thread
    assert before.keys() <= {end["call_id"] for end in records(ledger)}
    assert [call.seq for call in cell.calls] == sorted(call.seq or 0 for call in cell.calls)
    files = {file.name for file in (ledger / "capture" / cell_folder_name("c")).iterdir()}
    assert files == {"w0.jsonl", "w0.parts", "w1.jsonl", "w1.parts"}
    async with capturing("demo", tmp_path, ledger=ledger, cell="c") as meter:
        for body in bodies[:5]:
            await post(meter.url, CHAT, body)
    after = {one.call.call_id: one.request for one in kept(ledger)}
    assert len(after) == len(before) + 5
    assert before.items() <= after.items()

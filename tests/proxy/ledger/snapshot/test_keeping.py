"""A proxy keeps its snapshot, and starts from it."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from cab.proxy import KeyLimits, running_proxy
from cab.proxy.ledger.snapshot.keeper import opened_snapshot
from cab.proxy.ledger.snapshot.snapshot import Snapshot
from cab.scoring.ledger.segments import segment_name
from tests.proxy.ledger.snapshot.ledgers import put, written
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import records
from tests.tools.upstream import json_answer, scripted_upstream

CELL = "s/t/m/f/task"
CHAT = BY_ENDPOINT["chat.completions"]
SIGNING_KEY = "k1:" + "s" * 40


@pytest.mark.parametrize("limits", [{"max_calls": 2}, {"max_calls_per_month": 2}])
async def test_a_budget_outlives_restarts_and_ledgers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, limits: dict[str, Any]
) -> None:
    """A start reads no segment that was read; a new ledger has the old budget."""
    ledger = tmp_path / "ledger"
    async with scripted_upstream([json_answer(CHAT.answer)] * 2) as upstream:
        options: dict[str, Any] = {"upstream": upstream.url, "ledger": ledger}
        options |= {"state": tmp_path / "state", "auth": "keys", "signing_key": SIGNING_KEY}
        async with running_proxy(**options, segment_max_bytes=300) as proxy:
            cell = await proxy.open_cell(CELL, ttl_s=600, limits=KeyLimits(**limits))
            bearer = f"Authorization: {cell.headers['Authorization']}"
            assert (await post(proxy.url, CHAT.path, CHAT.request, bearer)).status == 200
            assert len(records(ledger, "end")) == 1
        for number in range(1, len({file.name[:9] for file in ledger.glob("w0-*")})):
            (ledger / segment_name(0, number)).unlink(missing_ok=True)
            packed = ledger / f"{segment_name(0, number)}.zst"
            packed.write_bytes(b"nobody reads this")
        async with running_proxy(**options) as proxy:
            assert (await proxy.totals(CELL))["calls"] == 1
            assert (await post(proxy.url, CHAT.path, CHAT.request, bearer)).status == 200
            assert (await post(proxy.url, CHAT.path, CHAT.request, bearer)).status == 400
        assert b'"seq":2' in max(ledger.glob("w0-*.jsonl")).read_bytes()
        ledger.rename(tmp_path / "old")
        async with running_proxy(**options) as proxy:
            refused = await post(proxy.url, CHAT.path, CHAT.request, bearer)
            assert (refused.status, b"cab_limit_reached" in refused.body) == (400, True)
    assert len(upstream.received) == 2
    assert "ledger_replaced" in caplog.text
    assert "snapshot_refused" not in caplog.text


async def test_a_kill_makes_no_window_fresh(tmp_path: Path) -> None:
    """The ledger as a kill leaves it, without any snapshot, holds what the month has spent."""
    async with scripted_upstream([json_answer(CHAT.answer)]) as upstream:
        options: dict[str, Any] = {"upstream": upstream.url, "auth": "keys"}
        options["signing_key"] = SIGNING_KEY
        async with running_proxy(**options, ledger=tmp_path / "ledger") as proxy:
            limits = KeyLimits(max_tokens_per_month=1)
            bearer = f"Authorization: Bearer {proxy.mint_key(CELL, 600, limits)}"
            assert (await post(proxy.url, CHAT.path, CHAT.request, bearer)).status == 200
            left = tmp_path / "left"
            left.mkdir()
            for file in (tmp_path / "ledger").glob("w0-*"):
                shutil.copy(file, left)
        async with running_proxy(**options, ledger=left) as proxy:
            refused = await post(proxy.url, CHAT.path, CHAT.request, bearer)
    assert (refused.status, b"max_tokens_per_month" in refused.body) == (400, True)


async def test_it_is_kept_while_calls_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a segment is closed, or enough is written, the next start finds it in the snapshot."""
    monkeypatch.setattr("cab.proxy.ledger.snapshot.keeper.LOOK_S", 0.01)
    lines, state = written(tmp_path / "written", 4), tmp_path / "state"
    ledger = put(tmp_path / "ledger", lines[:10])
    async with opened_snapshot(state, ledger) as keeper, asyncio.timeout(30):
        await keeper.start()
        for name, line in lines[10:]:
            with (ledger / name).open("ab") as handle:
                handle.write(line)
        while True:
            other = await asyncio.to_thread(Snapshot, state, ledger)
            points = other.resume_points()
            other.close()
            if {worker: point.segment for worker, point in points.items()} == _last(ledger):
                break


def _last(ledger: Path) -> dict[int, int]:
    numbers: dict[int, int] = {}
    for file in sorted(ledger.glob("w*.jsonl")):
        numbers[int(file.name[1])] = int(file.name[3:9])
    return numbers

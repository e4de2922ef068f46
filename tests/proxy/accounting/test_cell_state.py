import asyncio
import logging
from pathlib import Path

import orjson
import pytest

from cab.proxy.accounting.cell_state import CellState, CellStates
from cab.proxy.ledger.ledger import Ledger
from tests.proxy.restoring import restored
from tests.tools.wires import DIRECT_ON_ASYNCIO

WIRES = (DIRECT_ON_ASYNCIO,)


def end(cell_id: str | None, **fields: object) -> dict[str, object]:
    base = {"kind": "end", "cell_id": cell_id, "endpoint": "chat.completions"}
    counted = {"end_reason": "completed", "usage_source": "upstream", "request_hash": None}
    return {**base, **counted, **fields}


def test_numbers_count_within_a_cell_and_nowhere_else() -> None:
    """Calls of a cell are numbered from 1; calls without a cell have no number."""
    cells = CellStates()
    assert [cells["a"].next_seq(), cells["a"].next_seq(), cells["b"].next_seq()] == [1, 2, 1]
    assert cells[None].next_seq() is None


def test_the_same_request_after_a_failure_is_a_further_attempt() -> None:
    """A repetition counts as an attempt of the first call only if the one before failed."""
    cell = CellState("a")
    assert cell.attempt("h", "1") == (1, None)
    cell.add(end("a", request_hash="h", end_reason="upstream_error"))
    assert cell.attempt("h", "2") == (2, "1")
    cell.add(end("a", request_hash="h", end_reason="upstream_error"))
    assert cell.attempt("h", "3") == (3, "1")
    cell.add(end("a", request_hash="h"))
    assert cell.attempt("h", "4") == (1, None)


def test_the_same_request_after_its_client_has_gone_is_a_further_attempt() -> None:
    """A client that leaves and asks again repeats its call, whether the first has its END or not."""
    cell = CellState("a")
    assert cell.attempt("h", "1") == (1, None)
    cell.client_left("1")
    assert cell.attempt("h", "2") == (2, "1")
    assert cell.attempt("h", "3") == (1, None)
    cell.add(end("a", request_hash="h"))
    cell.client_left("3")
    assert cell.attempt("h", "4") == (2, "3")


def test_only_recent_requests_are_remembered() -> None:
    """The memory for repetitions is bounded, and a request without a hash is never one."""
    cell = CellState("a")
    cell.attempt("old", "1")
    for n in range(64):
        cell.attempt(f"h{n}", f"c{n}")
    cell.client_left("1")
    assert cell.attempt("old", "2") == (1, None)
    assert cell.attempt(None, "3") == (1, None)


def test_totals_hold_model_calls_only() -> None:
    """Calls to other paths add nothing; one that may have cost something
    and has no count is counted as unmeasured."""
    cell = CellState("a")
    cell.add(end("a", prompt_tokens=3, completion_tokens=4))
    cell.add(end("a", prompt_tokens=None, completion_tokens=None))
    cell.add(end("a", prompt_tokens=None, completion_tokens=0, status=429, usage_source="none"))
    cell.add(end("a", endpoint="other"))
    tokens = cell.totals.tokens
    assert (cell.totals.calls, tokens.prompt.known, tokens.completion.known) == (3, 3, 4)
    assert (cell.totals.unmeasured_calls, tokens.total.value) == (1, None)


async def test_idle_waits_for_the_last_call() -> None:
    """A cell is idle when its last call has ended, and not before."""
    cell = CellState("a")
    assert await cell.idle(0.01)
    cell.begin("1")
    cell.begin("2")
    assert not await cell.idle(0.01)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(cell.idle(10))
        await asyncio.sleep(0)
        cell.finish("1")
        cell.finish("2")
    assert waiting.result()


async def test_a_restart_continues_numbers_totals_and_seals(tmp_path: Path) -> None:
    """What the ledger says of a cell is known again after a restart."""
    ledger = Ledger(tmp_path)
    await ledger.append({"kind": "proxy_start"})
    await ledger.append({"kind": "start", "cell_id": "a", "seq": 7})
    await ledger.append(end("a", prompt_tokens=1, completion_tokens=2))
    await ledger.append({"kind": "cell_seal", "cell_id": "b"})
    await ledger.close()
    with ledger.segment.open("ab") as handle:
        handle.write(b"garbage\n")

    cells = restored(tmp_path)

    assert cells["a"].next_seq() == 8
    totals = cells["a"].totals
    assert (totals.calls, totals.tokens.prompt.value, cells["a"].sealed) == (1, 1, False)
    assert cells["b"].sealed
    assert [cell.cell_id for cell in cells.page()] == ["a", "b"]
    assert cells.in_flight() == 0


async def test_a_call_whose_end_is_lost_is_not_measured_after_a_restart(tmp_path: Path) -> None:
    """A START whose END is a damaged line is a call, and nothing of it is known."""
    start = {"kind": "start", "cell_id": "a", "seq": 1, "endpoint": "chat.completions"}
    ledger = Ledger(tmp_path)
    for call_id in ("1", "2"):
        await ledger.append({**start, "call_id": call_id})
    await ledger.append({**end("a", prompt_tokens=1, completion_tokens=2), "call_id": "1"})
    await ledger.close()
    with ledger.segment.open("ab") as handle:
        handle.write(b"garbage\n")

    cells = restored(tmp_path)

    totals = cells["a"].totals
    assert (totals.calls, totals.unmeasured_calls) == (2, 1)
    assert (totals.tokens.total.value, totals.tokens.total.known) == (None, 3)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("cell_id", 5),
        ("cell_id", [1]),
        ("cell_id", {}),
        ("cell_id", True),
        ("request_hash", 5),
        ("request_hash", [1]),
        ("call_id", 5),
        ("call_id", [1]),
        ("seq", "7"),
        ("seq", [1]),
        ("seq", 1.5),
        ("seq", True),
        ("seq", 2**64 - 1),
        ("kind", ["end"]),
    ],
)
async def test_a_line_that_cannot_be_looked_up_is_reported_and_passed_over(
    member: str, value: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A member of the wrong type keeps no proxy from starting, and no other line from counting."""
    start = {"kind": "start", "cell_id": "a", "seq": 7, "endpoint": "chat.completions"}
    ledger = Ledger(tmp_path)
    await ledger.append({**start, "call_id": "1"})
    await ledger.append({**end("a", prompt_tokens=1, completion_tokens=2), "call_id": "1"})
    await ledger.close()
    with ledger.segment.open("ab") as handle:
        handle.write(orjson.dumps({**end("a"), "call_id": "2", member: value}) + b"\n")

    with caplog.at_level(logging.ERROR):
        cells = restored(tmp_path)

    assert [cell.cell_id for cell in cells.page()] == ["a"]
    assert (cells["a"].totals.calls, cells["a"].last_seq) == (1, 7)
    [record] = caplog.records
    assert "lines_passed_over" in record.getMessage()
    assert member in record.getMessage()

from pathlib import Path
from typing import Any

import pytest

from cab.proxy.clock import Clock
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.writer import LedgerOptions
from cab.proxy.workers.dead_worker import recover_dead_worker

RUNS: list[list[dict[str, Any]]] = [
    [
        {"kind": "proxy_start"},
        {"kind": "start", "call_id": "old", "cell_id": "a", "seq": 1},
        {"kind": "end", "call_id": "old", "cell_id": "a", "end_reason": "completed"},
        {"kind": "cell_seal", "cell_id": "older"},
    ],
    [
        {"kind": "proxy_start"},
        {"kind": "start", "call_id": "1", "cell_id": "a", "seq": 2},
        {"kind": "start", "call_id": "2", "cell_id": "a", "seq": 3},
        {"kind": "end", "call_id": "1", "cell_id": "a", "end_reason": "completed"},
        {"kind": "cell_seal", "cell_id": "b"},
    ],
]


@pytest.mark.parametrize("segment_max_bytes", [1, 1 << 20], ids=["many segments", "one"])
async def test_a_chain_tells_how_its_last_calls_ended(
    segment_max_bytes: int, tmp_path: Path
) -> None:
    """An END that was written counts, a call without one is a crash, whatever was before."""
    for run in RUNS:
        options = LedgerOptions(segment_max_bytes=segment_max_bytes)
        ledger = Ledger(tmp_path, worker=3, options=options)
        for record in run:
            await ledger.append(record)
        await ledger.close()
    with max(tmp_path.glob("w3-*.jsonl")).open("ab") as handle:  # noqa: ASYNC240 - tiny
        handle.write(
            b'garbage\n[]\n{"kind":"end","call_id":[1]}\n{"kind":"cell_seal","cell_id":[1]}\n'
        )

    found = recover_dead_worker(tmp_path, 3, Clock(), {"1", "2", "never started"})

    reasons = {call_id: end["end_reason"] for call_id, end in found.ends.items()}
    assert reasons == {"1": "completed", "2": "crash"}
    assert "b" in found.sealed


async def test_a_chain_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    """While a process writes to a chain nobody else reads its end."""
    ledger = Ledger(tmp_path)
    with pytest.raises(BadConfig, match="is being written by another proxy"):
        recover_dead_worker(tmp_path, 0, Clock(), set())
    await ledger.close()

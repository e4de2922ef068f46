"""Small ledgers for tests: two chains, several segments, seals, crashes, and prefixes of them."""

import os
import random
from pathlib import Path
from typing import Any

import zstandard

from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.clock import Clock
from cab.proxy.ledger.writer import LedgerOptions, Writer
from cab.scoring.ledger.segments import find_segments, open_segment

AT = Clock(wall_ns=lambda: 1_800_000_000_000_000_000)
Lines = list[tuple[str, bytes]]
"""Names of plain segments, and one line of each after the other."""


def _instant(second: int) -> str:
    """Return an instant of the day before `AT`: each record has one."""
    return f"2027-01-14T23:59:{second:02d}.000000Z"


def start(call: str, cell: str | None, seq: int, **members: object) -> dict[str, Any]:
    base = {"kind": "start", "call_id": call, "cell_id": cell, "seq": seq}
    bounds = {"prompt_tokens_at_most": 9, "completion_tokens_at_most": 5, "may_cost": True}
    return {
        **base,
        "started_at": _instant(seq),
        "endpoint": "chat.completions",
        **bounds,
        **members,
    }


def end(call: str, cell: str | None, **members: object) -> dict[str, Any]:
    counted = {"prompt_tokens": 7, "completion_tokens": 3, "usage_source": "upstream"}
    priced = {"cost_usd": "0.25", "latency_ms": 2.5, "end_reason": "completed"}
    kind = {"kind": "end", "call_id": call, "cell_id": cell, "endpoint": "chat.completions"}
    at = {"started_at": _instant(0), "ended_at": _instant(len(call))}
    return {**kind, **counted, **priced, **at, **members}


def refused(call: str, cell: str) -> dict[str, Any]:
    unknown = {"prompt_tokens": None, "completion_tokens": None, "usage_source": "none"}
    return end(call, cell, **unknown, end_reason="rejected", cost_usd=None)


def records(seed: int) -> list[tuple[int, dict[str, Any]]]:
    """Return records, each with the worker that writes it: calls of some cells, some without END."""
    chosen, made, seqs = random.Random(seed), list[tuple[int, dict[str, Any]]](), dict[str, int]()
    open_calls: list[tuple[int, str, str]] = []
    for n in range(14):
        worker, cell = chosen.randrange(2), f"s/{chosen.choice('abc')}"
        seqs[cell] = seqs.get(cell, 0) + 1
        made.append((worker, start(f"c{n}", cell, seqs[cell])))
        open_calls.append((worker, f"c{n}", cell))
        if chosen.random() < 0.7:
            at, call, of = open_calls.pop(chosen.randrange(len(open_calls)))
            known = {} if chosen.random() < 0.8 else {"prompt_tokens": None, "status": 500}
            made.append((at, end(call, of, key_id=f"k{n % 2}", **known)))
    made.append((0, refused("r", "s/a")))
    made.append((1, {"kind": "cell_seal", "cell_id": "s/d"}))
    made.append((0, {"kind": "proxy_stop"}))
    return made


def written(folder: Path, seed: int) -> Lines:
    """Write a ledger with small segments; return its lines in the order in which they were written."""
    options = LedgerOptions(segment_max_bytes=2500)
    writers = [Writer(folder, worker, os.fsync, options, AT) for worker in range(2)]
    order: list[str] = []
    for worker, record in records(seed):
        writers[worker].write([record])
        order.append(writers[worker].segment.name)
    for writer in writers:
        writer.close()
    lines = {}
    for segment in find_segments(folder):
        with open_segment(segment.path) as handle:
            lines[segment.path.name.removesuffix(".zst")] = handle.readlines()
    made: Lines = []
    for name in order:
        at_once = 2 if len(lines[name]) > order.count(name) and name not in dict(made) else 1
        for _ in range(at_once):  # the first record of a later segment comes with another
            made.append((name, lines[name].pop(0)))
    assert not any(lines.values())
    return made


def put(folder: Path, lines: Lines, *, packed: bool = False) -> Path:
    """Write the first lines of a ledger; closed segments compressed, if so wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    segments: dict[str, list[bytes]] = {}
    for name, line in lines:
        segments.setdefault(name, []).append(line)
    for name, content in segments.items():
        is_closed = any(n[:3] == name[:3] and n > name for n in segments)
        if packed and is_closed:
            data = zstandard.ZstdCompressor().compress(b"".join(content))
            (folder / f"{name}.zst").write_bytes(data)
        else:
            (folder / name).write_bytes(b"".join(content))
    return folder


def state_of(cells: CellStates) -> dict[str, tuple[Any, ...]]:
    """Return what is known of the cells of a ledger; what was only looked up is none of them."""
    known = [cell for cell in cells.page() if cell.last_seq or cell.sealed or cell.totals.rejected]
    return {
        str(cell.cell_id): (
            *(cell.last_seq, cell.sealed, cell.totals, cell.largest_tokens),
            cells[cell.cell_id].windows,
        )
        for cell in known
    }

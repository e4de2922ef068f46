"""Ledgers on disk, written as the proxy writes them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import zstandard

from cab.scoring.ledger.bounds import MAX_LINE_BYTES
from cab.scoring.ledger.records import GENESIS
from tests.scoring.builders import CELL_ID, end_fields, line, start_fields


def chained(records: Iterable[Mapping[str, Any]], prev: str = GENESIS) -> list[bytes]:
    """Return the lines of a chain."""
    lines: list[bytes] = []
    for fields in records:
        lines.append(line(fields, prev))
        prev = hash_of(lines[-1])
    return lines


def hash_of(text: bytes) -> str:
    """Return what a line says its hash is."""
    return str(orjson.loads(text)["hash"])


def write_ledger(
    folder: Path,
    records: Iterable[Mapping[str, Any]],
    *,
    worker: int = 0,
    per_segment: int = 1000,
    compressed: bool = False,
) -> list[Path]:
    """Write the chain of one worker and return its segments, all but the last compressed if asked."""
    folder.mkdir(exist_ok=True)
    lines = chained(records)
    cuts = range(0, max(1, len(lines)), per_segment)
    files: list[Path] = []
    for number, cut in enumerate(cuts, 1):
        path = folder / f"w{worker}-{number:06d}.jsonl"
        data = b"".join(lines[cut : cut + per_segment])
        if compressed and number < len(cuts):
            path, data = path.with_name(f"{path.name}.zst"), zstandard.compress(data)
        path.write_bytes(data)
        files.append(path)
    return files


def overlong(kind: str = "start", call_id: str = "long", cell_id: str = CELL_ID) -> bytes:
    """Return a line that is longer than any reader takes, as a proxy without bounds wrote it."""
    fields = {**start_fields(call_id, cell_id=cell_id), "model_requested": "m" * MAX_LINE_BYTES}
    return line({**fields, "kind": kind}, GENESIS)


def calls(
    count: int, cell_id: str | None = CELL_ID, *, first: int = 1, **changes: Any
) -> list[dict[str, Any]]:
    """Return the records of that many calls, START and END of each, numbered from `first` on."""
    return [
        fields
        for n in range(first, first + count)
        for fields in (
            start_fields(f"c{n}", cell_id=cell_id, seq=n),
            end_fields(f"c{n}", cell_id=cell_id, seq=n, **changes),
        )
    ]

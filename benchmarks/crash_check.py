"""What the crash harness compares a ledger with: its chain, the clients' answers, the endpoint's account.

It shares no code with what wrote the ledger.
"""

import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import zstandard
from crash_load import Seen

_NAME = re.compile(r"w(\d+)-(\d+)\.jsonl(\.zst)?")
TOKENS = ("prompt_tokens", "completion_tokens")


@dataclass
class LedgerState:
    """What is in a ledger."""

    records: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    faults: list[str] = field(default_factory=list[str])

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


def read_ledger(folder: Path) -> LedgerState:
    """Return the records of a ledger, and where its chains do not hold."""
    state, heads = LedgerState(), defaultdict[str, str](lambda: "0" * 64)
    for name, lines in _segments(folder):
        worker = name.split("-", maxsplit=1)[0]
        for number, line in enumerate(lines, 1):
            body, digest = line[:-76] + b"}", line[-67:-3].decode("latin-1")
            if hashlib.sha256(body).hexdigest() != digest or not line.endswith(b'"}\n'):
                state.faults.append(f"{name}:{number} is not what its hash says")
                continue
            record = orjson.loads(line)
            if record["prev"] != heads[worker]:
                state.faults.append(f"{name}:{number} does not follow the line before")
            heads[worker] = digest
            state.records.append(record)
    return state


def _segments(folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    found = {}
    for path in sorted(folder.iterdir(), reverse=True):  # the plain form wins
        if name := _NAME.fullmatch(path.name):
            found[int(name[1]), int(name[2])] = path
    for _, path in sorted(found.items()):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # compressed since it was listed
            content = Path(f"{path}.zst").read_bytes()
        if content[:4] == b"\x28\xb5\x2f\xfd":
            content = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
        yield path.name, content.splitlines(keepends=True)


def check(
    state: LedgerState, seen: Seen, account: dict[str, list[int]], *, lost: int = 0
) -> list[str]:
    """Return what does not hold between a ledger, the clients and the endpoint.

    Args:
        state: The ledger, read after recovery.
        seen: What the clients sent and got.
        account: What the endpoint stated for each request that reached it.
        lost: Records that the ledger itself counts as lost (`on_ledger_failure = "open"`).
    """
    starts, ends = state.of_kind("start"), state.of_kind("end")
    faults = [*state.faults, *seen.odd]
    faults += _unpaired(starts, ends, lost)
    faults += _missing(ends, seen, account, lost)
    hashes = {start["request_hash"] for start in starts}
    unseen = [name for name in account if name in seen.sent and seen.sent[name] not in hashes]
    if len(unseen) > lost:
        faults.append(f"{len(unseen)} requests reached the endpoint without a START")
    paid = sorted(seen.refused & account.keys())
    faults += [f"{name} got 503 and was forwarded all the same" for name in paid]
    return faults


def _unpaired(starts: list[dict[str, Any]], ends: list[dict[str, Any]], lost: int) -> Iterator[str]:
    began = Counter(start["call_id"] for start in starts)
    ended = Counter(end["call_id"] for end in ends)
    yield from (f"call {c} has {n} STARTs" for c, n in began.items() if n > 1)
    yield from (f"call {c} has {n} ENDs" for c, n in ended.items() if n > 1)
    if open_calls := began.keys() - ended.keys():
        yield f"{len(open_calls)} calls have no END, such as {min(open_calls)}"
    if len(endless := ended.keys() - began.keys()) > lost:
        yield f"{len(endless)} ENDs have no START, such as {min(endless)}"
    numbers = Counter((start["cell_id"], start["seq"]) for start in starts)
    yield from (f"{key} was given to {n} calls" for key, n in numbers.items() if n > 1)


def _missing(
    ends: list[dict[str, Any]], seen: Seen, account: dict[str, list[int]], lost: int
) -> Iterator[str]:
    """Yield what the clients or the endpoint know better than the ledger."""
    by_call = {end["call_id"]: end for end in ends}
    gone = [name for name, call_id in seen.complete.items() if call_id not in by_call]
    if len(gone) > lost:
        yield f"{len(gone)} answers that clients got whole have no END, such as {gone[0]}"
    for call_id in seen.complete.values():
        end = by_call.get(call_id)
        if end is not None and end["end_reason"] != "completed":
            yield f"call {call_id} was complete at the client and is {end['end_reason']}"
    for end in ends:
        if end["end_reason"] != "completed":
            continue
        stated = account.get(end["upstream_id"])
        if stated is None or [end[name] for name in TOKENS] != stated:
            yield f"call {end['call_id']} has other tokens than the endpoint stated"

"""What the proxy knows of each cell while it runs: numbers, calls in flight, totals, the seal."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson

from cab.proxy.errors import LedgerFailed
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.reading import segment_files, segment_lines
from cab.scoring.ledger.records import METERED_ENDPOINTS
from cab.scoring.ledger.slices import in_slice

log = RedactingLogger()

_REMEMBERED_REQUESTS = 64
"""Requests per cell whose repetition is recognised; agents retry at once, not after hundreds."""


class AttemptNumber(NamedTuple):
    """Where a request stands among the repetitions of the same call."""

    number: int
    retry_of: str | None


@dataclass(slots=True)
class _Seen:
    """The last attempt of one request hash."""

    first_call_id: str
    number: int
    failed: bool


@dataclass(slots=True)
class CellState:
    """One cell's state. `None` as id stands for calls that no cell was named for."""

    cell_id: str | None
    last_seq: int = 0
    sealed: bool = False
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unmeasured_calls: int = 0
    cost_usd: Decimal = Decimal(0)
    """Sum of the costs that are known."""
    unpriced_calls: int = 0
    largest_tokens: int = 0
    """Tokens of the largest call so far."""
    largest_cost_usd: Decimal = Decimal(0)
    in_flight: set[str] = field(default_factory=set[str])
    """All that a seal waits for: calls, and refusals that are being recorded."""
    running: set[str] = field(default_factory=set[str])
    """Those of them that are model calls; limits count these."""
    _waiting: dict[str, asyncio.Future[None]] = field(
        default_factory=dict[str, asyncio.Future[None]]
    )
    _withdrawn: set[str] = field(default_factory=set[str])
    _seen: OrderedDict[str, _Seen] = field(default_factory=OrderedDict[str, _Seen])

    def next_seq(self) -> int | None:
        """Return the number of the next call, 1-based; None where there is no cell to count in."""
        if self.cell_id is None:
            return None
        self.last_seq += 1
        return self.last_seq

    def attempt(self, request_hash: str | None, call_id: str, sdk_retry: bool) -> AttemptNumber:
        """Return which attempt of which call a request is, and remember it.

        A request repeats the one before it with the same hash if that one failed, or if the
        client's SDK says itself that it retries.
        """
        if request_hash is None:
            return AttemptNumber(1, None)
        seen = self._seen.pop(request_hash, None)
        if seen is None or not (seen.failed or sdk_retry):
            self._remember(request_hash, _Seen(call_id, 1, failed=False))
            return AttemptNumber(1, None)
        seen.number += 1
        seen.failed = False
        self._remember(request_hash, seen)
        return AttemptNumber(seen.number, seen.first_call_id)

    def _remember(self, request_hash: str, seen: _Seen) -> None:
        self._seen[request_hash] = seen
        if len(self._seen) > _REMEMBERED_REQUESTS:
            self._seen.popitem(last=False)

    @property
    def tokens(self) -> int:
        """Tokens of all calls that have a count."""
        return self.prompt_tokens + self.completion_tokens

    def begin(self, call_id: str, *, counts: bool = True) -> None:
        """Count a call as in flight; `counts` says whether it is one for the limits as well."""
        self.in_flight.add(call_id)
        if counts:
            self.running.add(call_id)

    def finish(self, call_id: str) -> None:
        """Count a call as no longer in flight."""
        self.in_flight.discard(call_id)
        self.running.discard(call_id)
        self.wake()

    def wake(self) -> None:
        """Let all that wait for a change look again, first come first."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)

    def withdraw(self, call_id: str) -> None:
        """End the wait of a call, if it waits."""
        waiting = self._waiting.get(call_id)
        if waiting is None:
            return
        self._withdrawn.add(call_id)
        if not waiting.done():
            waiting.set_result(None)

    async def changed(self, waiter: str) -> bool:
        """Wait for the next change; return False if the wait was ended by `withdraw`."""
        waiting = self._waiting[waiter] = asyncio.get_running_loop().create_future()
        try:
            await waiting
        finally:
            del self._waiting[waiter]
            withdrawn = waiter in self._withdrawn
            self._withdrawn.discard(waiter)
        return not withdrawn

    def add(self, end: dict[str, Any]) -> None:
        """Add an END record to the totals."""
        if end["end_reason"] == "rejected":
            return
        seen = self._seen.get(end.get("request_hash") or "")
        if seen is not None:
            seen.failed = end["end_reason"] != "completed"
        if end["endpoint"] not in METERED_ENDPOINTS:
            return
        self.calls += 1
        refused = (end.get("status") or 0) >= 400  # an error costs nothing, so it needs no count
        prompt, completion = end.get("prompt_tokens"), end.get("completion_tokens")
        if not refused and (prompt is None or completion is None):
            self.unmeasured_calls += 1
        self.prompt_tokens += prompt or 0
        self.completion_tokens += completion or 0
        self.largest_tokens = max(self.largest_tokens, (prompt or 0) + (completion or 0))
        self._add_cost(end.get("cost_usd"), refused=refused)

    def _add_cost(self, stated: object, *, refused: bool) -> None:
        cost = _dollars(stated)
        if cost is None:
            self.unpriced_calls += not refused
            return
        self.cost_usd += cost
        self.largest_cost_usd = max(self.largest_cost_usd, cost)

    async def idle(self, limit_s: float) -> bool:
        """Wait until no call is in flight; return whether that came true within the limit."""
        try:
            async with asyncio.timeout(limit_s):
                while self.in_flight:
                    await self.changed("")
        except TimeoutError:
            return False
        return True


def _dollars(stated: object) -> Decimal | None:
    if not isinstance(stated, int | float | str):
        return None
    try:
        amount = Decimal(str(stated))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


class CellStates:
    """All cells that the ledger or a client has named."""

    def __init__(self) -> None:
        self._cells: dict[str | None, CellState] = {}

    def __getitem__(self, cell_id: str | None) -> CellState:
        cell = self._cells.get(cell_id)
        if cell is None:
            cell = self._cells[cell_id] = CellState(cell_id)
        return cell

    def __contains__(self, cell_id: str) -> bool:
        return cell_id in self._cells

    def known(self) -> Iterable[CellState]:
        """Return all cells; none that no call was accepted for."""
        return self._cells.values()

    def in_flight(self) -> int:
        """Return the number of calls in flight over all cells."""
        return sum(len(cell.in_flight) for cell in self._cells.values())

    def restore(self, folder: Path) -> None:
        """Continue the numbers, totals and seals of an existing ledger: one streaming pass."""
        for line in ledger_lines(folder, skip_unreadable=True):
            record = _read(line)
            if record is None:
                continue  # verify names it; a meter that refuses to start would lose more
            cell = self[record.get("cell_id")]
            match record.get("kind"):
                case "start":
                    cell.last_seq = max(cell.last_seq, record.get("seq") or 0)
                case "end" if {"end_reason", "endpoint"} <= record.keys():
                    cell.add(record)
                case "cell_seal":
                    cell.sealed = True
                case _:
                    pass


def ledger_lines(folder: Path, *, skip_unreadable: bool = False) -> Iterator[bytes]:
    """Yield every whole line of a ledger folder, segment by segment, newline included.

    Args:
        folder: The ledger.
        skip_unreadable: Go on behind a segment that cannot be read, as behind a damaged line. Good for
            knowing cells again, never for a slice or a seal: they would hold less than they state.

    Raises:
        LedgerFailed: A segment cannot be read.
    """
    for segment in segment_files(folder):
        try:
            yield from (line for line in segment_lines(segment) if line.endswith(b"\n"))
        except BadRecord as error:
            log.error("segment_unreadable", segment=segment.name, reason=str(error))
            if not skip_unreadable:
                message = f"segment {segment.name} cannot be read; cab ledger verify says where"
                raise LedgerFailed(message) from error


def _read(line: bytes) -> dict[str, Any] | None:
    """Return the record that a line holds, None if it holds none."""
    try:
        record: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None


class SliceDigest(NamedTuple):
    """What a seal states of a cell's lines."""

    records: int
    digest: str


def cell_lines(folder: Path, cell_id: str) -> Iterator[bytes]:
    """Yield the lines of one cell's slice, verbatim and in order."""
    # A cheap look at the bytes first: most lines of a big ledger belong to other cells.
    needle = b'"cell_id":' + orjson.dumps(cell_id)
    for line in ledger_lines(folder):
        if needle not in line:
            continue
        record = _read(line) or {}
        if record.get("cell_id") == cell_id and in_slice(record):
            yield line


def slice_digest(folder: Path, cell_id: str) -> SliceDigest:
    """Return the number of a cell's lines and the SHA-256 of their bytes, one after the other."""
    digest, records = hashlib.sha256(), 0
    for line in cell_lines(folder, cell_id):
        digest.update(line)
        records += 1
    return SliceDigest(records, f"sha256:{digest.hexdigest()}")

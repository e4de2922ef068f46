"""What a worker has to say of a cell: calls that it admitted, calls that ended, and what they came to.

A worker adds calls up as they end, and the parent adds the sums to the state of the cell.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cab.proxy.accounting.cell_state import CellState
from cab.proxy.accounting.shared_cell import Used
from cab.scoring.ledger.money import EXACT
from cab.scoring.ledger.totals import CallTotals, Fields


@dataclass(slots=True)
class LocalCall:
    """A call in flight, as its worker knows it."""

    number: int | None
    """Which one of its cell it is, if this worker admitted it by shared counters; the parent knows others."""
    counts: bool
    """Whether it is a model call."""
    request_hash: str | None
    first_call_id: str
    """The first call that it repeats, or itself."""
    attempt: int = 1
    reported: bool = False
    """Whether the parent knows of it."""
    failed: bool = False
    """Whether it has failed, or its client has gone."""


class FailedCall(NamedTuple):
    """A call whose repetition is a further attempt."""

    request_hash: str
    call_id: str
    first_call_id: str
    attempt: int


@dataclass(slots=True)
class CellReport:
    """What has happened to the calls of a cell since the last report."""

    minute: int | None = None
    """In which minute since the Unix epoch, all of it; None: it is told at once."""
    begun: dict[str, LocalCall] = field(default_factory=dict[str, LocalCall])
    """Calls that were admitted here and have not ended."""
    numbers: list[int] = field(default_factory=list[int])
    """Numbers of those that have."""
    ended: list[str] = field(default_factory=list[str])
    """Calls that the parent knows of and that have ended."""
    totals: CallTotals = field(default_factory=CallTotals)
    """Of all that have ended."""
    largest_tokens: int = 0
    failed: list[FailedCall] = field(default_factory=list[FailedCall])

    def end(self, call_id: str, call: LocalCall | None, end: Fields | None) -> Used:
        """Take a call that has ended; return what it adds to the counters of its cell.

        Args:
            call_id: The call.
            call: What is known of it; None if it was refused.
            end: Its END record, None if it has none.
        """
        if call is None or call.reported or call.number is None:
            self.ended.append(call_id)
        else:
            self.begun.pop(call_id, None)
            self.numbers.append(call.number)
        return Used() if end is None else self._add(end)

    def _add(self, end: Fields) -> Used:
        totals, tokens, cost = self.totals, self.totals.tokens.total, self.totals.cost
        calls, known, uncounted = totals.calls, tokens.known, tokens.missing + tokens.least
        priced, usd, unpriced = cost.priced, cost.known, cost.unpriced
        totals.add(end)
        used = tokens.known - known
        self.largest_tokens = max(self.largest_tokens, used)
        price = EXACT.subtract(cost.known, usd) if cost.priced > priced else None
        is_plain = tokens.missing + tokens.least == uncounted
        return Used(totals.calls - calls, used, price, cost.unpriced - unpriced, is_plain)

    def packed(self, cell_id: str | None) -> list[Any]:
        """Return it as JSON values."""
        begun = [[call_id, call.number, call.counts] for call_id, call in self.begun.items()]
        failed = [list(each) for each in self.failed]
        sums = self.totals, self.largest_tokens
        return [cell_id, begun, self.numbers, self.ended, *sums, failed, self.minute]


class PackedReport(NamedTuple):
    """A report as the parent gets it, with the totals read."""

    cell_id: str | None
    begun: list[tuple[str, int, bool]]
    numbers: list[int]
    ended: list[str]
    totals: CallTotals
    largest_tokens: int
    failed: list[list[Any]]
    minute: int | None

    def merge(self, cell: CellState, told: Callable[[int], None]) -> None:
        """Add it to the state of its cell.

        Args:
            cell: The cell.
            told: Is given each number that the worker has taken of the cell.
        """
        with cell.told(self.minute):
            for call_id, number, counts in self.begun:
                told(number)
                cell.take_begun(call_id, counts=counts)
            for number in self.numbers:
                told(number)
            if self.numbers or self.ended:
                cell.merge(self.totals, self.largest_tokens)
            for request_hash, call_id, first_call_id, attempt in self.failed:
                cell.attempt_failed(request_hash, call_id, first_call_id, attempt)
            for call_id in self.ended:
                cell.finish(call_id)


class Numbers:
    """Which numbers of a cell the workers have told of, while they take them by themselves.

    Args:
        last: The last number that was taken before.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self._holes: set[int] = set()

    def told(self, number: int) -> None:
        """Take note of a number that was told of."""
        if number > self._last:
            self._holes.update(range(self._last + 1, number))
            self._last = number
        else:
            self._holes.discard(number)

    def is_untold(self, number: int) -> bool:
        """Return whether nobody has told of a number, should it have been taken."""
        return number > self._last or number in self._holes

    def untold(self, last: int) -> set[int]:
        """Return the numbers up to the last one that nobody has told of."""
        return self._holes | set(range(self._last + 1, last + 1))

"""The one call total: which records are calls, what may have cost something, and how calls add up.

The proxy's live totals, seals, the scorer, `cab ledger calls --by-cell` and the budget of a sweep are
all made here, so they say the same of the same records.

A *call* is one request of the agent for a completion, an END record; an *attempt* is one HTTP request
that the proxy made for it. A sum is known only if every part of it is: one call that may have cost
something and has no count makes the total unknown. What is known of the rest is kept apart, and so is
what the unknown calls can have cost at most: the true sum lies between the two.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, Generic, Self, TypeVar

from cab.scoring.files import FileModel
from cab.scoring.ledger.bounds import MAX_COUNT
from cab.scoring.ledger.money import EXACT, UNNAMED, MoneyTotal, money, source_of_price
from cab.scoring.ledger.records import METERED_ENDPOINTS, AnyRecord, CallEnd, CallStart, Count
from cab.scoring.ledger.verification.call_ids import CallIds

Fields = Mapping[str, Any]
"""The members of a record: those of a parsed line, checked or not, or `vars` of a record."""

CALL_MEMBERS = (
    *("endpoint", "end_reason", "status", "upstream_attempts", "usage_source", "usage_status"),
    *("prompt_tokens", "completion_tokens", "total_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd"),
    *("price_source", "latency_ms"),
    *("may_cost", "prompt_tokens_at_most", "completion_tokens_at_most"),
)
"""The members of a call's records that `CallTotals` looks at."""

DAMAGED_LINE = "damaged_line"
"""Kind of what stands for a line that cannot be read; no record has it. See `reading`."""


def damaged_call(known: Fields) -> dict[str, Any]:
    """Return what stands for a damaged line in sums: a call whose cost is not known.

    Args:
        known: What is known of its call.
    """
    return {**known, "kind": DAMAGED_LINE, "endpoint": "other", "may_cost": True}


_OF_CALLS = ("start", "end", DAMAGED_LINE)
_OF_CELLS = ("cell_open", "cell_seal")

_NUMBER = TypeVar("_NUMBER", int, float, Decimal)

_BOUNDS = ("prompt_tokens_at_most", "completion_tokens_at_most")

ASSUMED_PROMPT_TOKENS = 200_000
"""What a limit is charged for a prompt that nobody counted and nothing bounds: a common context window,
which few prompts fill. A rule of thumb and no bound."""
ASSUMED_ANSWER_TOKENS = 32_000
"""The same for an answer: about what a model writes at most where the request does not say."""

_METERED = tuple(sorted(METERED_ENDPOINTS))
"""Not a set: an unchecked line may hold a list, which cannot be looked up in one."""

_NOT_WHOLE = ("partial", "inconsistent", "overflow")
"""Values of `usage_status` of calls that no sum covers wholly."""

_GAVE_UP = (408, 499)
"""Statuses of the class 4xx that say nothing against the request: the server gave up on a call that it
had begun, because of the time that it took or because the other side had gone."""


def is_counted(call: Fields) -> bool:
    """Return whether somebody counted a call's tokens; figures that nobody counted are none."""
    return call.get("usage_source") not in (None, "none")


def may_have_cost(call: Fields) -> bool:
    """Return whether a call may have cost something: all that decide about it ask here.

    A call that was counted has cost what was counted. Without a count it is free only if it cannot
    have reached the model: it never left the proxy, no connection to the endpoint came about, or the
    endpoint refused the request (4xx other than 408 and 499). All others may have cost something: a
    5xx can come after the whole answer was generated. So may a START without its END.
    """
    if is_counted(call):
        return True
    end_reason, status = call.get("end_reason"), _count(call, "status")
    if call.get("upstream_attempts") == 0 or end_reason in ("rejected", "upstream_unreachable"):
        return False
    return status is None or not 400 <= status < 500 or status in _GAVE_UP


def is_model_call(record: CallStart | CallEnd) -> bool:
    """Return whether a record is a model call: metered, and not rejected by the proxy."""
    return counts_as_call(vars(record))


def counts_as_call(call: Fields) -> bool:
    """Return whether a START or END with these members is a model call."""
    return _is_metered(call) and not _is_rejected(call)


@dataclass(slots=True)
class Total(Generic[_NUMBER]):
    """A sum that knows whether a part of it is missing."""

    known: _NUMBER
    """Sum of the parts that are known."""
    missing: int = 0
    """Number of parts that are not."""
    bounded: int = 0
    """Number of the parts that are missing, or only the least, of which it is known what they come to at
    most."""
    at_most: int = 0
    """What is known of that, over what is known of these parts: the sum over them."""
    least: int = 0
    """Number of the known parts that are only the least: of an answer that broke off."""

    @property
    def value(self) -> _NUMBER | None:
        """The sum, None while a part is missing."""
        return None if self.missing else self.known

    @property
    def upper(self) -> _NUMBER | None:
        """The sum at most, None while a missing part has no bound."""
        open_parts = self.missing + self.least
        return None if open_parts > self.bounded else self.known + self.at_most

    def add(self, part: _NUMBER | None) -> None:
        """Add a part, None where it is not known."""
        if part is None:
            self.missing += 1
        else:
            self.known += part

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.known + other.known,
            self.missing + other.missing,
            self.bounded + other.bounded,
            self.at_most + other.at_most,
            self.least + other.least,
        )


def _no_tokens() -> Total[int]:
    return Total(0)


def _no_time() -> Total[float]:
    return Total(0.0)


@dataclass(slots=True)
class TokenTotals:
    """Tokens of a set of calls; the last three are parts of the first two."""

    prompt: Total[int] = field(default_factory=_no_tokens)
    completion: Total[int] = field(default_factory=_no_tokens)
    total: Total[int] = field(default_factory=_no_tokens)
    """Its known part holds what is known of a call of which only one part is."""
    cache_read: Total[int] = field(default_factory=_no_tokens)
    cache_write: Total[int] = field(default_factory=_no_tokens)
    reasoning: Total[int] = field(default_factory=_no_tokens)
    assumed: int = 0
    """What limits are charged for the open parts that have no bound, by a rule of thumb; no part of any sum."""

    def add(self, call: Fields) -> None:
        """Add a call's counts; its total is the stated one, else the sum of two known parts."""
        get = call.get
        prompt, completion, total = (
            get("prompt_tokens"),
            get("completion_tokens"),
            get("total_tokens"),
        )
        # Written out for speed: a ledger has 10^8 records.
        for counted, count in (
            (self.prompt, prompt),
            (self.completion, completion),
            (self.cache_read, get("cache_read_tokens")),
            (self.cache_write, get("cache_write_tokens")),
            (self.reasoning, get("reasoning_tokens")),
        ):
            if type(count) is int and 0 <= count <= MAX_COUNT:
                counted.known += count
            else:
                counted.missing += 1
        believed = total if type(total) is int and 0 <= total <= 2 * MAX_COUNT else None
        parts = [c for c in (prompt, completion) if type(c) is int and 0 <= c <= MAX_COUNT]
        if len(parts) < 2:
            self._add_bounds(call, to_total=believed is None)
        if believed is not None:
            self.total.known += believed
        elif len(parts) == 2:
            self.total.known += sum(parts)
        if call.get("usage_status") == "partial" and (believed is not None or len(parts) == 2):
            self._add_rest(call, sum(parts) if believed is None else believed)

    def _add_rest(self, call: Fields, known: int) -> None:
        """Add what a count that does not cover the whole answer may leave out."""
        self.total.least += 1
        stated = call.get("usage_source") == "upstream"
        prompt = _count(call, "prompt_tokens" if stated else "prompt_tokens_at_most")
        completion = _count(call, "completion_tokens_at_most")
        if prompt is not None and completion is not None:
            self.total.bounded += 1
            self.total.at_most += max(0, prompt + completion - known)
            return
        prompt = ASSUMED_PROMPT_TOKENS if prompt is None else prompt
        completion = ASSUMED_ANSWER_TOKENS if completion is None else completion
        self.assumed += max(0, prompt + completion - known)

    def _add_bounds(self, call: Fields, *, to_total: bool) -> None:
        """Add what the parts that a call does not state come to at most."""
        known, at_most, missing, bounded = 0, 0, 0, 0
        for counted, name, assumed in (
            (self.prompt, "prompt_tokens", ASSUMED_PROMPT_TOKENS),
            (self.completion, "completion_tokens", ASSUMED_ANSWER_TOKENS),
        ):
            count, bound = _count(call, name), _count(call, f"{name}_at_most")
            if count is not None:
                known += count
                continue
            missing += 1
            if bound is not None:
                counted.bounded += 1
                counted.at_most += bound
                bounded += 1
                at_most += bound
            elif to_total:
                self.assumed += assumed
        if to_total:
            self.total.known += known
            self.total.missing += 1
            self.total.bounded += bounded == missing
            self.total.at_most += at_most

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class TotalInterval(FileModel):
    """Between what and what the tokens of a set of calls lie."""

    known_total: Count
    """Its lower end: the sum of what is known."""
    unknown_calls: Count
    """Calls that may have cost something and whose total is not known, or known only as far as the answer
    came (`usage_status: partial`)."""
    upper_total: Count | None
    """Its upper end: each of these calls costs what it can have cost at most; None where one has no such
    bound."""


@dataclass(slots=True)
class CallTotals:
    """What model calls came to. Requests for a completion that the proxy rejected are counted apart."""

    calls: int = 0
    """Calls: END records, and STARTs whose END is missing. A repetition is a further call."""
    attempts: int = 0
    """HTTP requests: what the proxy sent for a call, at least one of them."""
    partial_calls: int = 0
    """Calls whose count does not cover the whole answer, or contradicts itself."""
    rejected: int = 0
    """Requests for a completion that the proxy turned down; no part of all the others."""
    tokens: TokenTotals = field(default_factory=TokenTotals)
    cost: MoneyTotal = field(default_factory=MoneyTotal)
    latency_ms: Total[float] = field(default_factory=_no_time)
    """Sum over all calls."""

    @property
    def unmeasured_calls(self) -> int:
        """Calls that may have cost something and whose total is not known, those of `other` included."""
        return self.tokens.total.missing

    @property
    def interval(self) -> TotalInterval:
        """Between what and what the tokens of all calls lie."""
        total = self.tokens.total
        return TotalInterval(
            known_total=total.known,
            unknown_calls=total.missing + total.least,
            upper_total=total.upper,
        )

    @property
    def charged_tokens(self) -> int:
        """Tokens that count against a limit: what is known, and of what is not the upper bound.

        Where there is no bound it is an assumed size: no call that may have cost something is free.
        """
        return self.tokens.total.known + self.tokens.total.at_most + self.tokens.assumed

    @property
    def unknown_prices(self) -> int:
        """Calls of which neither the price is known nor all the tokens that would give it one.

        What was counted and has no price is not among them; see `MoneyTotal.unpriced`.
        """
        return self.cost.missing - self.cost.unpriced

    @property
    def charged_usd(self) -> Decimal:
        """US dollars that count against a limit; an unknown call counts as the dearest one."""
        return EXACT.fma(self.cost.largest, self.unknown_prices, self.cost.known)

    @staticmethod
    def may_cost(call: Fields) -> bool:
        """Return whether a call may have cost something; see `may_have_cost`."""
        return may_have_cost(call)

    def add(self, call: Fields) -> None:
        """Add a call by the members of its END, or of its START where that is all there is.

        What is not of the type that a record needs counts as not known, so that lines which nobody
        has checked can be added too.
        """
        if not _is_metered(call):
            if call.get("may_cost") is True and self.may_cost(call):
                self.tokens.add(_uncounted(call))
                self.cost.add(None)
            return
        if _is_rejected(call):
            self.rejected += 1
            return
        self.calls += 1
        self.attempts += _count(call, "upstream_attempts") or 1
        self.partial_calls += call.get("usage_status") in _NOT_WHOLE
        latency_ms = call.get("latency_ms")
        self.latency_ms.add(latency_ms if type(latency_ms) in (int, float) else None)
        stated = call.get("cost_usd")
        price = None if stated is None else money(str(stated))
        if self.may_cost(call):
            self.tokens.add(call if is_counted(call) else _uncounted(call))
            self.cost.add(price, UNNAMED if price is None else source_of_price(call))
            self.cost.unpriced += price is None and _is_counted_whole(call)
        elif price is not None:
            self.cost.add(price, source_of_price(call))

    def __add__(self, other: "CallTotals") -> "CallTotals":
        parts = (getattr(self, f.name) + getattr(other, f.name) for f in fields(CallTotals))
        return CallTotals(*parts)


class CallPairing:
    """Hands on each call once: its first END as it comes; at the finish each START that has none.

    A second END of a call, and a START after its END, are passed over: `verify_ledger` names them.

    Args:
        add: Takes the members of an END, or of a START without END.
    """

    def __init__(self, add: Callable[[Fields], None]) -> None:
        self._add = add
        self._open: dict[str, Fields] = {}
        self._ended = CallIds()

    def take(self, record: Fields) -> None:
        """Take the next record of a ledger, or what stands for a damaged line; others are passed over."""
        kind, call_id = record.get("kind"), str(record.get("call_id"))
        if kind == "end":
            self._open.pop(call_id, None)
            if self._ended.add(_identity(record)) or record.get("call_id") is None:
                self._add(record)
        elif kind == "start" and _identity(record) not in self._ended:
            self._open[call_id] = record
        elif kind == DAMAGED_LINE and "call_id" in record and _identity(record) not in self._ended:
            # As a START it ends with its END; beside its START it says nothing new.
            self._open.setdefault(call_id, record)

    def finish(self) -> list[Fields]:
        """Hand on the STARTs whose END did not come, and return them."""
        unended = list(self._open.values())
        self._open.clear()
        for start in unended:
            self._add(start)
        return unended


@dataclass(slots=True)
class CellTotals(CallTotals):
    """What the model calls of one cell came to."""

    repetitions: int = 0
    """Calls that repeat an earlier one."""
    first_at: str | None = None
    """Start of the first call, as recorded; None if there is none."""
    last_at: str | None = None
    """Start of the last."""

    def add(self, call: Fields) -> None:
        """Add a call; see `CallTotals.add`."""
        calls = self.calls
        CallTotals.add(self, call)
        if self.calls == calls:
            return
        self.repetitions += (_count(call, "attempt") or 1) > 1
        # RFC 3339 in UTC and of one width: the text sorts as the time does.
        started_at = str(call.get("started_at"))
        self.first_at = min(self.first_at or started_at, started_at)
        self.last_at = max(self.last_at or started_at, started_at)


def total_cells(records: Iterable[AnyRecord | Fields]) -> dict[str | None, CellTotals]:
    """Return the totals of every cell, in the order in which the cells first appear.

    A cell that was opened or sealed and has no call has zeros, which are measured ones. Of a cell that
    is not there nothing is known.

    One pass, whose memory grows with the cells, and by 24 bytes at most with each call. The score of one cell is made by
    `sum_calls`, which also recognises overlaps and repetitions across the whole cell.

    Args:
        records: Of a ledger, such as `iter_records` gives them, or their members, such as
            `find_records` gives them; None stands for calls without a cell.
    """
    cells: dict[str | None, CellTotals] = {}
    pairing = CallPairing(lambda call: cells[call.get("cell_id")].add(call))
    for record in records:
        call = record if isinstance(record, Mapping) else _members(record)
        if call.get("kind") in _OF_CELLS and isinstance(call.get("cell_id"), str):
            cells.setdefault(call["cell_id"], CellTotals())
        elif call.get("kind") in _OF_CALLS and "call_id" in call:
            cells.setdefault(call.get("cell_id"), CellTotals())
            pairing.take(call)
    pairing.finish()
    return cells


def _members(record: AnyRecord) -> Fields:
    # A seal is read with its kind alone; what else it has is beside its fields.
    return {**vars(record), **record.model_extra} if record.model_extra else vars(record)


def _identity(call: Fields) -> str:
    return f"{call.get('call_id')}\n{call.get('cell_id')}"


def _is_metered(call: Fields) -> bool:
    return call.get("endpoint") in _METERED


def _is_rejected(call: Fields) -> bool:
    return bool(call.get("end_reason") == "rejected")


def _is_counted_whole(call: Fields) -> bool:
    """Return whether all tokens of a call are counted, so that only a price of its model is missing."""
    if not is_counted(call) or call.get("usage_status") == "partial":
        return False
    parts = _count(call, "prompt_tokens"), _count(call, "completion_tokens")
    total = call.get("total_tokens")
    return None not in parts or (type(total) is int and 0 <= total <= 2 * MAX_COUNT)


def _uncounted(call: Fields) -> Fields:
    """Return the members of a call that nobody counted: what it comes to at most."""
    return {name: call.get(name) for name in _BOUNDS}


def _count(call: Fields, name: str) -> int | None:
    value = call.get(name)
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None

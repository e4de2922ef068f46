"""Seals: what a proxy states of a cell's lines when it closes the cell."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from cab.scoring.files import FileModel, StrPath, read_object, validated
from cab.scoring.ledger.heads import LedgerHead
from cab.scoring.ledger.records import METERED_ENDPOINTS, Count, parse_fields
from cab.scoring.ledger.totals import (
    CallPairing,
    CallTotals,
    Fields,
    TotalInterval,
    damaged_call,
    is_counted,
    may_have_cost,
)

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]

SealSchema = Literal["cab.seal/1", "cab.seal/2", "cab.seal/3"]
FIRST_SEAL_SCHEMA: SealSchema = "cab.seal/1"
"""Form of the seals that state no form."""
SECOND_SEAL_SCHEMA: SealSchema = "cab.seal/2"
"""Form of the seals to which an error of the endpoint was free."""
SEAL_SCHEMA: SealSchema = "cab.seal/3"
"""Form of the seals that are made today."""


class Seal(FileModel):
    """A seal, as `cell_seal` in a ledger and as `seal.json` in a bundle."""

    seal_schema: SealSchema = FIRST_SEAL_SCHEMA
    """Its form, which says by what rule its sums are made: see docs/seals.md."""
    cell_id: str
    """The cell."""
    records: Count
    """Number of its lines, START and END."""
    digest: Digest
    """`sha256:` and the SHA-256 of its lines, newlines included, in the order of the ledger."""
    calls: Count | None = None
    """Its requests to metered endpoints that were not rejected, repetitions included."""
    attempts: Count | None = None
    """HTTP requests that the proxy made for them, at least one each."""
    unmeasured_calls: Count | None = None
    """Calls that may have cost something and whose total is not known."""
    partial_calls: Count | None = None
    """Calls whose count does not cover the whole answer, or contradicts itself; None in seals that do not say."""
    prompt_tokens: Count | None = None
    """Their sum, None if a part of it is not known."""
    completion_tokens: Count | None = None
    """Their sum, None if a part of it is not known."""
    total_tokens: Count | None = None
    """Sum of the calls' totals, None if one of them is not known."""
    known_total_tokens: Count | None = None
    """What is known of that sum."""
    total_interval: TotalInterval | None = None
    """Between what and what that sum lies."""
    heads: list[LedgerHead] | None = None
    """Where each chain of the ledger stood when the slice was read; None in seals that do not say."""
    damaged_calls: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Calls of which the ledger holds nothing but lines that cannot be read: they are in no line of the
    slice, and what they cost is not known. Stated only if there are some."""


def load_seal(path: StrPath) -> Seal:
    """Return the seal that a file holds.

    Raises:
        BadRecord: The file cannot be read, or does not hold a seal of a known form.
    """
    path = Path(path)
    return validated(Seal, read_object(path), path)


def stated_sums(totals: CallTotals) -> dict[str, Any]:
    """Return a call total under the names that seals and the control API have for it."""
    tokens = totals.tokens
    return {
        "calls": totals.calls,
        "attempts": totals.attempts,
        "unmeasured_calls": totals.unmeasured_calls,
        "partial_calls": totals.partial_calls,
        "prompt_tokens": tokens.prompt.value,
        "completion_tokens": tokens.completion.value,
        "total_tokens": tokens.total.value,
        "known_total_tokens": tokens.total.known,
        "total_interval": totals.interval.model_dump(),
    }


class SealSums:
    """The sums of a seal, made from a cell's records as they come.

    Args:
        totals: Adds them up.
    """

    def __init__(self, totals: CallTotals | None = None) -> None:
        self._totals = CallTotals() if totals is None else totals
        self._pairing = CallPairing(self._totals.add)

    def add_damaged(self, calls: int) -> None:
        """Add calls of which nothing can be read."""
        for _ in range(calls):
            self._totals.add(damaged_call({}))

    def add(self, record: Fields) -> None:
        """Add a record by its members."""
        self._pairing.take(record)

    def totals(self) -> dict[str, Any]:
        """Return the sums once all records were added."""
        self._pairing.finish()
        return stated_sums(self._totals)


class SecondSealTotals(CallTotals):
    """The call total by the rule of the form `cab.seal/2`.

    An answer with an error status was free, but not one that the proxy gave for an endpoint that fell
    silent after it had the request.
    """

    @staticmethod
    def may_cost(call: Fields) -> bool:
        """Return whether a call may have cost something by that rule."""
        status = call.get("status")
        if type(status) is int and status >= 400 and not is_counted(call):
            by_proxy = call.get("end_reason") in ("timeout", "upstream_cut")
            return by_proxy and status in (502, 504) and call.get("upstream_attempts") != 0
        return may_have_cost(call)


class FirstSealSums:
    """The same for seals of the form `cab.seal/1`, by the rule that was theirs.

    An answer with an error status was free, even one that the proxy gave for an endpoint that fell
    silent, and a START without its END was no call.
    """

    def __init__(self) -> None:
        self._calls = self._unmeasured = self._prompt = self._completion = 0

    def add(self, record: Fields) -> None:
        """Add a record by its members."""
        if record.get("kind") != "end" or record.get("end_reason") == "rejected":
            return
        if str(record.get("endpoint")) not in METERED_ENDPOINTS:
            return
        prompt, completion, status = (
            value if isinstance(value := record.get(name), int) else None
            for name in ("prompt_tokens", "completion_tokens", "status")
        )
        self._calls += 1
        self._unmeasured += (status or 0) < 400 and (prompt is None or completion is None)
        self._prompt += prompt or 0
        self._completion += completion or 0

    def totals(self) -> dict[str, Any]:
        """Return the sums once all records were added."""
        measured = self._unmeasured == 0
        return {
            "calls": self._calls,
            "unmeasured_calls": self._unmeasured,
            "prompt_tokens": self._prompt if measured else None,
            "completion_tokens": self._completion if measured else None,
            "total_tokens": self._prompt + self._completion if measured else None,
        }


def sums_for(seal: Seal) -> SealSums | FirstSealSums:
    """Return what makes the sums that a seal must state, by the rule of its form."""
    if seal.seal_schema == FIRST_SEAL_SCHEMA:
        return FirstSealSums()
    sums = SealSums(SecondSealTotals() if seal.seal_schema == SECOND_SEAL_SCHEMA else None)
    sums.add_damaged(seal.damaged_calls)
    return sums


def seal_lines(lines: Iterable[bytes], damaged: Iterable[Fields] = ()) -> dict[str, Any]:
    """Return what a seal states of a cell's slice: its form, the sums, and the digest.

    Args:
        lines: The slice.
        damaged: What is known of the cell's damaged lines; looked at when all lines were read.

    Raises:
        BadRecord: A line is damaged; see `parse_fields`.
    """
    digest, records, sums, seen = sha256(), 0, SealSums(), set[str]()
    for line in lines:
        digest.update(line)
        records += 1
        fields = parse_fields(line)
        sums.add(fields)
        seen.add(str(fields.get("call_id")))
    lost = len({str(fields.get("call_id")) for fields in damaged} - seen)
    sums.add_damaged(lost)
    return {
        "seal_schema": SEAL_SCHEMA,
        "records": records,
        **sums.totals(),
        **({"damaged_calls": lost} if lost else {}),
        "digest": f"sha256:{digest.hexdigest()}",
    }

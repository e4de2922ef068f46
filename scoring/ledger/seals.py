"""Seals: what a proxy states of a cell's lines when it closes the cell."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cab.scoring.files import FileModel, read_object, validated
from cab.scoring.ledger.records import METERED_ENDPOINTS, Count

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Seal(FileModel):
    """A seal, as `cell_seal` in a ledger and as `seal.json` in a bundle."""

    cell_id: str
    """The cell."""
    records: Count
    """Number of its lines, START and END."""
    digest: Digest
    """`sha256:` and the SHA-256 of its lines, newlines included, in the order of the ledger."""
    calls: Count | None = None
    """Its requests to metered endpoints that were not rejected, repetitions included."""
    unmeasured_calls: Count | None = None
    """Those of them that may have cost something and were not counted."""
    prompt_tokens: Count | None = None
    """Their sum, None if a call is unmeasured."""
    completion_tokens: Count | None = None
    """Their sum, None if a call is unmeasured."""
    total_tokens: Count | None = None
    """Sum of the two."""


SUMS = ("calls", "unmeasured_calls", "prompt_tokens", "completion_tokens", "total_tokens")
"""Members of a seal that follow from the lines."""


def load_seal(path: Path) -> Seal:
    """Return the seal that a file holds.

    Raises:
        BadRecord: The file cannot be read, or holds no seal.
    """
    return validated(Seal, read_object(path), path)


class SealSums:
    """The sums of a seal, made from a cell's records as they come."""

    def __init__(self) -> None:
        self._calls = 0
        self._unmeasured = 0
        self._prompt = 0
        self._completion = 0

    def add(self, fields: dict[str, Any]) -> None:
        """Add a record by its members."""
        if fields.get("kind") != "end" or fields.get("end_reason") == "rejected":
            return
        if fields.get("endpoint") not in METERED_ENDPOINTS:
            return
        prompt, completion = _count(fields, "prompt_tokens"), _count(fields, "completion_tokens")
        # An answer that is an error costs nothing, so it needs no count.
        refused = (_count(fields, "status") or 0) >= 400
        self._calls += 1
        self._unmeasured += not refused and (prompt is None or completion is None)
        self._prompt += prompt or 0
        self._completion += completion or 0

    def totals(self) -> dict[str, int | None]:
        """Return the sums under the names that a seal has for them."""
        measured = self._unmeasured == 0
        return {
            "calls": self._calls,
            "unmeasured_calls": self._unmeasured,
            "prompt_tokens": self._prompt if measured else None,
            "completion_tokens": self._completion if measured else None,
            "total_tokens": self._prompt + self._completion if measured else None,
        }


def _count(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) else None

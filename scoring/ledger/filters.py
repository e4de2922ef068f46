"""Which records of a ledger are wanted: by cell, by model, by time."""

from dataclasses import dataclass, replace
from typing import Any

from cab.scoring.timestamps import instant_us


@dataclass(frozen=True, slots=True)
class Filter:
    """What a record must be; a part that is None admits every record.

    A record that lacks what a part looks at is not wanted: a proxy's start has neither cell nor
    model.
    """

    cell: str | None = None
    """The id of its cell, all of it: `...#run1` is not `...#run10`."""
    prefix: str | None = None
    """How the id of its cell starts, such as `local/aider/`."""
    model: str | None = None
    """The model that was asked for, or that answered."""
    since_us: int | None = None
    """Earliest start of the call, in microseconds since 1970."""
    until_us: int | None = None
    """The first start that is too late."""

    def admits(self, fields: dict[str, Any]) -> bool:
        """Return whether the record with these members is wanted.

        Raises:
            ValueError: Its start is not an instant.
        """
        return (
            self._admits_cell(fields) and self._admits_model(fields) and self._admits_time(fields)
        )

    def without_model(self) -> "Filter":
        """Return the same filter for records of any model."""
        return replace(self, model=None)

    def _admits_cell(self, fields: dict[str, Any]) -> bool:
        if self.cell is None and self.prefix is None:
            return True
        cell_id = fields.get("cell_id")
        if not isinstance(cell_id, str) or not cell_id.startswith(self.prefix or ""):
            return False
        return self.cell is None or cell_id == self.cell

    def _admits_model(self, fields: dict[str, Any]) -> bool:
        if self.model is None:
            return True
        return self.model in (fields.get("model_requested"), fields.get("model_served"))

    def _admits_time(self, fields: dict[str, Any]) -> bool:
        if self.since_us is None and self.until_us is None:
            return True
        started_at = fields.get("started_at")
        if started_at is None:
            return False
        started_us = instant_us(str(started_at))
        return (self.since_us is None or started_us >= self.since_us) and (
            self.until_us is None or started_us < self.until_us
        )


EVERYTHING = Filter()
"""Admits every record."""


def make_filter(
    cell: str | None = None,
    *,
    prefix: str | None = None,
    model: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Filter:
    """Return a filter whose instants are given as RFC 3339 text in UTC.

    Raises:
        ValueError: `since` or `until` is not an instant.
    """
    return Filter(
        cell,
        prefix,
        model,
        None if since is None else instant_us(since),
        None if until is None else instant_us(until),
    )

"""What one usage object says: the rules that hold in every dialect, in their order."""

from collections.abc import Callable
from typing import NamedTuple

import orjson

from cab.proxy.meter.json_values import JsonObject, as_count
from cab.proxy.meter.usage.counts import Usage, UsageReader
from cab.proxy.meter.usage.fields import with_other_names
from cab.proxy.meter.usage.invariants import settled
from cab.scoring.ledger.bounds import MAX_COUNT

_NO_COUNTS = Usage(None, None, None)


class UsageReading(NamedTuple):
    """What an endpoint's usage object says."""

    usage: Usage | None
    """`None` if it holds no count."""
    raw: JsonObject | None
    """The object, `None` if it cannot be written as JSON."""
    warnings: list[str]
    """What could not be understood."""
    notes: list[str]
    """Where a rule changed or completed what the endpoint stated."""
    faults: list[str]
    """What contradicts itself."""
    parts: list[JsonObject]
    """Usage of each pass over a model, where the endpoint states it."""
    generates: bool
    """Whether the model writes tokens at all."""
    overflow: bool = False
    """Whether a count was larger than any that a call can have; it is `None` then."""


def read_usage(raw: JsonObject, counts: Callable[[UsageReader], Usage]) -> UsageReading:
    """Return what a usage object says.

    Args:
        raw: The object.
        counts: Reads the counts as the dialect names them.
    """
    reader = UsageReader(raw)
    usage: Usage | None = _plausible(
        settled(with_other_names(counts(reader), reader), reader), reader
    )
    if usage == _NO_COUNTS and not reader.overflow:
        usage = None
        reader.warn("usage holds no counts")
    kept: JsonObject | None = raw
    try:
        orjson.dumps({"usage_raw": raw})  # as deep as the record will have it
    except orjson.JSONEncodeError:
        # The ledger could not write it, and a record is worth more than its raw part.
        reader.warn("usage cannot be written as JSON")
        kept = None
    return UsageReading(
        usage,
        kept,
        reader.warnings,
        reader.notes,
        reader.faults,
        reader.parts,
        reader.generates,
        reader.overflow,
    )


def _plausible(usage: Usage, reader: UsageReader) -> Usage:
    """Return counts without those that were added up to more than a call can have."""
    most = dict.fromkeys(Usage._fields, MAX_COUNT) | {"total_tokens": 2 * MAX_COUNT}
    for part in reader.parts:
        part.update((n, reader.plausible(as_count(part[n]), n)) for n in most if n in part)
    named = usage._asdict().items()
    return Usage(**{name: reader.plausible(count, name, most[name]) for name, count in named})

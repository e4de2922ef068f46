from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.commands.ledger.columns import COLUMNS, instant_of, values_of
from cab.scoring import BadRecord
from cab.scoring.ledger.reading import Found
from tests.scoring.builders import end_fields, line

KINDS = {
    "text": "call_id cell_id endpoint request_hash retry_of model_requested model_served upstream_id "
    "system_fingerprint end_reason finish_reason usage_source usage_status usage_note user_agent price_source "
    "unmetered hash error_type error_message",
    "integer": "seq attempt upstream_attempts stale_connections status prompt_tokens completion_tokens "
    "total_tokens cache_read_tokens cache_write_tokens reasoning_tokens request_bytes response_bytes "
    "tool_calls",
    "real": "latency_ms ttft_ms upstream_ms proxy_ms queued_ms cost_usd",
    "boolean": "stream may_cost",
    "instant": "started_at ended_at",
    "json": "usage_raw usage_parts finish_reasons",
}


def found(**changes: Any) -> Found:
    fields = {"schema": "cab.call/1", "prev": "0" * 64, "hash": "1" * 64, **end_fields(**changes)}
    return Found(Path("w0-000001.jsonl"), 3, line(fields), fields)


def test_each_member_has_its_kind() -> None:
    """Every member of a call is a column of the kind that its values have."""
    kinds = {name: kind for kind, names in KINDS.items() for name in names.split()}
    known = {column.name: column.kind for column in COLUMNS}
    assert {name: known[name] for name in kinds} == kinds
    assert not {"record_schema", "kind", "prev", "error"} & known.keys()


def test_values_stand_in_the_order_of_the_columns() -> None:
    """Texts of prices become numbers, what has parts JSON, an error two texts; unknown stays so."""
    call = found(
        cost_usd="0.25", usage_raw={"a": 1}, error={"type": "t", "message": "m"}, stream=True
    )
    row = dict(zip([column.name for column in COLUMNS], values_of(call), strict=True))
    assert (row["cost_usd"], row["usage_raw"], row["stream"]) == (0.25, '{"a":1}', True)
    assert (row["error_type"], row["error_message"]) == ("t", "m")
    assert (row["call_id"], row["reasoning_tokens"], row["retry_of"]) == ("c1", None, None)


def test_parts_of_the_usage_are_json() -> None:
    """Parts stand as they are recorded, members of newer versions included."""
    part = {"type": "message", "model": "m", "prompt_tokens": 3, "billed": True, "newer": 1}
    row = dict(zip([c.name for c in COLUMNS], values_of(found(usage_parts=[part])), strict=True))
    assert orjson.loads(row["usage_parts"])[0].items() >= part.items()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cost_usd": "cheap"}, r"w0-000001\.jsonl:3: cost_usd: is not a number"),
        ({"seq": "1"}, r"w0-000001\.jsonl:3: seq: "),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], text: str) -> None:
    """A value that has no place in its column is an error that names line and member."""
    with pytest.raises(BadRecord, match=text):
        values_of(found(**changes))


def test_an_instant_is_microseconds() -> None:
    """Instants become numbers where a file has a type for them."""
    assert instant_of("1970-01-01T00:00:01Z", found()) == 1_000_000
    with pytest.raises(BadRecord, match=r":3: 'noon' is not an RFC 3339 instant"):
        instant_of("noon", found())

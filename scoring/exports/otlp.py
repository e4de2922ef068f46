"""OTLP as JSON: how the protocol writes ids, enums, numbers and attributes.

Its ids are hexadecimal, where protobuf's own mapping to JSON has base64; its enums are numbers, and 64-bit
numbers are texts.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from math import isfinite
from typing import Any, Final, cast

from cab.scoring.files import is_object

KIND_CLIENT: Final = 3
STATUS_ERROR: Final = 2
CUMULATIVE: Final = 2

_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_INT64 = range(-(1 << 63), 1 << 63)


def trace_id(name: str) -> str:
    """Return the id of a trace, 32 hexadecimal digits: the same for the same name."""
    return _id(f"cab trace {name}", _TRACE_ID_BYTES)


def span_id(name: str) -> str:
    """Return the id of a span, 16 hexadecimal digits: the same for the same name."""
    return _id(f"cab span {name}", _SPAN_ID_BYTES)


def _id(name: str, length_bytes: int) -> str:
    return sha256(name.encode("utf-8", "surrogatepass")).digest()[:length_bytes].hex()


def key_values(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes, or the members of an object, in their order."""
    return [{"key": name, "value": any_value(value)} for name, value in attributes.items()]


def any_value(value: Any) -> dict[str, Any]:  # noqa: ANN401, PLR0911 - any JSON value, a line per type
    """Return a JSON value with its type; None is a value without one."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int() if value in _INT64:
            return {"intValue": str(value)}
        case float() if isfinite(value):
            return {"doubleValue": value}
        case list() | tuple():
            values = cast("Iterable[Any]", value)
            return {"arrayValue": {"values": [any_value(each) for each in values]}}
        case _ if is_object(value):
            return {"kvlistValue": {"values": key_values(value)}}
        case _:
            return {"stringValue": str(value)}


def traces(
    spans: Iterable[Mapping[str, Any]], resource: Mapping[str, Any], scope: str, schema_url: str
) -> dict[str, Any]:
    """Return a request that hands spans over, which is a line of a file of spans too.

    Args:
        spans: In the form of OTLP.
        resource: Attributes of who made them.
        scope: Name of what made them.
        schema_url: Where the meaning of their attributes is found.
    """
    inner = {"scope": {"name": scope}, "spans": list(spans), "schemaUrl": schema_url}
    whose = {"attributes": key_values(resource)}
    return {"resourceSpans": [{"resource": whose, "scopeSpans": [inner]}]}


def metrics(
    found: Iterable[Mapping[str, Any]], resource: Mapping[str, Any], scope: str, schema_url: str
) -> dict[str, Any]:
    """Return a request that hands metrics over; the arguments are those of `traces`."""
    inner = {"scope": {"name": scope}, "metrics": list(found), "schemaUrl": schema_url}
    whose = {"attributes": key_values(resource)}
    return {"resourceMetrics": [{"resource": whose, "scopeMetrics": [inner]}]}

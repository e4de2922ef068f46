"""Requests of OTLP as bytes: JSON as it is, or protobuf, which the extra `otel` brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from cab.proxy.control.telemetry.target import Protocol

CONTENT_TYPES = {"http/json": "application/json", "http/protobuf": "application/x-protobuf"}


def encoded_traces(
    request: dict[str, Any], protocol: Protocol, after: Callable[[int], None]
) -> bytes:
    """Return a request with spans as bytes.

    Args:
        request: In the form of OTLP as JSON, with one resource and one scope.
        protocol: How to write it.
        after: Is told the number of each span that takes long.
    """
    if protocol == "http/json":
        return orjson.dumps(request)
    # Loaded by those who use it.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    [source] = request["resourceSpans"]
    [scope] = source["scopeSpans"]
    message = ExportTraceServiceRequest()
    whose = message.resource_spans.add()
    _add_attributes(whose.resource.attributes, source["resource"]["attributes"])
    made = whose.scope_spans.add(schema_url=scope["schemaUrl"])
    made.scope.name = scope["scope"]["name"]
    for number, span in enumerate(scope["spans"]):
        _fill_span(made.spans.add(), span)
        after(number)
    packed: bytes = message.SerializeToString()
    return packed


def encoded_metrics(request: dict[str, Any], protocol: Protocol) -> bytes:
    """Return a request with metrics, in the form of OTLP as JSON, as bytes."""
    if protocol == "http/json":
        return orjson.dumps(request)
    from google.protobuf import json_format  # noqa: PLC0415 - as above
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
        ExportMetricsServiceRequest,
    )

    # It has no ids, so that protobuf's own mapping holds; it is slow, and metrics are few.
    packed: bytes = json_format.ParseDict(
        request, ExportMetricsServiceRequest()
    ).SerializeToString()
    return packed


def rejected_spans(body: bytes, protocol: Protocol) -> int:
    """Return how many spans a receiver says, in its answer to a request, that it has not taken.

    Raises:
        ValueError: The answer cannot be read.
    """
    if not body:
        return 0
    if protocol == "http/json":
        answer: dict[str, Any] = orjson.loads(body) or {}
        partial: dict[str, Any] = answer.get("partialSuccess") or {}
        return max(0, int(partial.get("rejectedSpans") or 0))
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - as above
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceResponse,
    )

    try:
        read = ExportTraceServiceResponse.FromString(body)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    rejected: int = read.partial_success.rejected_spans
    return max(0, rejected)


def _fill_span(message: Span, span: dict[str, Any]) -> None:
    message.trace_id = bytes.fromhex(span["traceId"])
    message.span_id = bytes.fromhex(span["spanId"])
    message.parent_span_id = bytes.fromhex(span.get("parentSpanId", ""))
    message.flags = span.get("flags", 0)
    message.name = span["name"]
    message.kind = span["kind"]
    message.start_time_unix_nano = int(span["startTimeUnixNano"])
    message.end_time_unix_nano = int(span["endTimeUnixNano"])
    message.status.code = span["status"].get("code", 0)
    _add_attributes(message.attributes, span["attributes"])


def _add_attributes(target: Any, pairs: Iterable[dict[str, Any]]) -> None:  # noqa: ANN401 - protobuf's container
    for pair in pairs:
        made: KeyValue = target.add(key=pair["key"])
        _fill_value(made.value, pair["value"])


def _fill_value(message: AnyValue, value: dict[str, Any]) -> None:
    for kind, content in value.items():
        match kind:
            case "stringValue":
                message.string_value = content
            case "intValue":
                message.int_value = int(content)
            case "doubleValue":
                message.double_value = content
            case "boolValue":
                message.bool_value = content
            case "arrayValue":
                message.array_value.SetInParent()
                for each in content["values"]:
                    _fill_value(message.array_value.values.add(), each)
            case _:
                message.kvlist_value.SetInParent()
                _add_attributes(message.kvlist_value.values, content["values"])

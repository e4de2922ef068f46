"""OTLP as a receiver reads it: requests parsed by protobuf itself."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def parsed(request: dict[str, Any]) -> ExportTraceServiceRequest:
    """Return a request that came as JSON.

    Protobuf's own mapping has base64 where OTLP has hexadecimal digits, and takes these for base64 in silence.
    """
    return json_format.ParseDict(_with_base64(request), ExportTraceServiceRequest())


def _with_base64(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _with_base64(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_base64(each) for each in value]
    if name not in _IDS:
        return value
    data = bytes.fromhex(value)
    assert len(data) == _IDS[name], name
    assert value == value.lower()
    return base64.b64encode(data).decode()


def plain(value: AnyValue) -> Any:
    """Return the value of an attribute."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes by name."""
    return {pair.key: plain(pair.value) for pair in pairs}


def spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    """Return the spans of a request."""
    return [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]


class Receiver:
    """What a receiver of OTLP has taken."""

    def __init__(self) -> None:
        self.url = ""
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[web.Response] = []
        """What the next requests with spans are answered, which it does not take."""
        self.took = asyncio.Event()
        """Set once it has taken spans."""

    @property
    def spans(self) -> list[Span]:
        return [span for request in self.traces for span in spans_of(request)]

    @property
    def last_metrics(self) -> dict[str, Metric]:
        """Return the metrics of the last request by name."""
        last = self.metrics[-1].resource_metrics[0].scope_metrics[0].metrics
        return {metric.name: metric for metric in last}

    async def take_traces(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        body = await request.read()
        if self.answers:
            return self.answers.pop(0)
        if request.content_type == "application/json":
            self.traces.append(parsed(orjson.loads(body)))
        else:
            assert request.content_type == "application/x-protobuf"
            self.traces.append(ExportTraceServiceRequest.FromString(body))
        self.took.set()
        return web.Response(content_type=request.content_type)

    async def take_metrics(self, request: web.Request) -> web.Response:
        body = await request.read()
        message = ExportMetricsServiceRequest()
        if request.content_type == "application/json":
            json_format.Parse(body, message)
        else:
            message.ParseFromString(body)
        self.metrics.append(message)
        return web.Response(content_type=request.content_type)


@asynccontextmanager
async def otlp_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver of OTLP over HTTP."""
    receiver, app = Receiver(), web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/traces", receiver.take_traces)
    app.router.add_post("/v1/metrics", receiver.take_metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()

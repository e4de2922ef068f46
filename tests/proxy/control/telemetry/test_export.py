"""Calls reach a receiver of OTLP as they end: the same spans as `cab export otel` makes of their ledger."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cab.adapters.cli import main
from cab.proxy.control.telemetry import export as exporting
from tests.proxy.control.serving import COMPLETION, USAGE
from tests.tools.otlp import attributes_of, otlp_receiver, parsed, spans_of
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.upstream import json_answer, scripted_upstream
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
COSTLY = json_answer({**COMPLETION, "usage": {**USAGE, "cost": 0.1}})
FAILED = json_answer({"error": {"message": "a prompt", "type": "x"}}, "500 Internal Server Error")
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "10"}


@asynccontextmanager
async def exporting_proxy(
    folder: Path, url: str, otel: dict[str, str] | None = None, **settings: Any
) -> AsyncGenerator[Meter]:
    async with (
        scripted_upstream([COSTLY], [FAILED], [COSTLY]) as upstream,
        metered(
            upstream.url, folder, otel={**QUICK, **(otel or {})}, otel_endpoint=url, **settings
        ) as meter,
    ):
        yield meter


async def chat(meter: Meter, **headers: str) -> None:
    url = f"{meter.url}/v1/chat/completions"
    async with meter.client.post(url, json=chat_body(), headers=headers) as answer:
        await answer.read()


async def health(meter: Meter) -> dict[str, Any]:
    async with meter.client.get(f"{meter.url}/cab/health") as answer:
        body: dict[str, Any] = orjson.loads(await answer.read())
        return body


async def until_health(meter: Meter, **wanted: object) -> dict[str, Any]:
    """Return the health once it is as wanted."""
    async with asyncio.timeout(20):
        while True:
            seen = await health(meter)
            if wanted.items() <= seen.items():
                return seen


def exported(folder: Path) -> list[Span]:
    """Return the spans that the command makes of a ledger."""
    out = folder / "calls.jsonl"
    assert main(["export", "otel", str(folder / "ledger"), "-o", str(out)]) == 0
    lines = map(orjson.loads, out.read_bytes().splitlines())
    return [span for line in lines for span in spans_of(parsed(line))]


def by_id(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.span_id)


@pytest.mark.parametrize(
    ("protocol", "wire", "more"),
    [
        ("http/protobuf", "direct", {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}),
        ("http/json", "aiohttp", {}),
    ],
)
async def test_a_receiver_gets_the_spans_that_the_command_exports(
    protocol: str, wire: str, more: dict[str, str], tmp_path: Path
) -> None:
    """Live and from the ledger a call is the same span, below the client's own; what is no call is none."""
    secret = {"OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=a%20key-of-the-receiver"}
    named = {"OTEL_SERVICE_NAME": "ours", "OTEL_RESOURCE_ATTRIBUTES": "team=a"}
    otel = {**secret, **named, **more}
    async with otlp_receiver() as receiver:
        kind = {"otel_protocol": protocol, "wire": wire}
        async with exporting_proxy(tmp_path, receiver.url, otel, **kind) as meter:
            await chat(meter, traceparent=TRACEPARENT)
            await chat(meter, traceparent="00-not-valid")
            async with meter.client.get(f"{meter.url}/v1/models") as answer:
                await answer.read()
            await chat(meter)
            ends = [end for end in meter.ends() if end["endpoint"] != "other"]

    spans = by_id(receiver.spans)
    assert spans == by_id(exported(tmp_path))
    assert len(spans) == 3
    assert [end.get("traceparent") for end in ends] == [TRACEPARENT, None, None]
    found = {attributes_of(span.attributes)["cab.call_id"]: span for span in spans}
    for end in ends:
        said = attributes_of(found[end["call_id"]].attributes)
        assert said.get("gen_ai.usage.input_tokens") == end["prompt_tokens"]
        assert said.get("gen_ai.usage.output_tokens") == end["completion_tokens"]
        cost = end["cost_usd"]
        assert said.get("cab.cost_usd") == (None if cost is None else float(cost))
        assert said.get("cab.price_source") == end["price_source"]
    first, failed, _ = (found[end["call_id"]] for end in ends)
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert (failed.status.code, failed.parent_span_id) == (2, b"")
    assert attributes_of(first.attributes)["cab.cost_usd"] == 0.1
    assert b"a prompt" not in b"".join(each.SerializeToString() for each in receiver.traces)
    resource = attributes_of(receiver.traces[0].resource_spans[0].resource.attributes)
    assert (resource["service.name"], resource["team"], resource["cab.worker"]) == ("ours", "a", 0)
    assert receiver.headers[0]["x-api-key"] == "a key-of-the-receiver"

    points = receiver.last_metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert sum(point.count for point in points) == 3
    tokens = receiver.last_metrics["gen_ai.client.token.usage"].histogram.data_points
    sums = {attributes_of(p.attributes)["gen_ai.token.type"]: p.sum for p in tokens}
    for kind_of, name in (("input", "prompt_tokens"), ("output", "completion_tokens")):
        assert sums[kind_of] == sum(end[name] or 0 for end in ends)
    assert {attributes_of(p.attributes)["gen_ai.request.model"] for p in tokens} == {"other"}


async def test_what_a_receiver_does_not_take_is_counted(tmp_path: Path) -> None:
    """A refused request is dropped, rejected spans count as dropped, and a busy receiver is asked again."""
    partial = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="no")
    )
    async with otlp_receiver() as receiver:
        receiver.answers = [
            web.Response(status=400),
            web.Response(status=503, headers={"Retry-After": "0"}),
            web.Response(body=partial.SerializeToString(), content_type="application/x-protobuf"),
        ]
        async with exporting_proxy(
            tmp_path, receiver.url, admin_token="admin-token-of-16-bytes"
        ) as meter:
            await chat(meter)
            seen = await until_health(meter, otel_dropped_spans=1)
            assert seen["otel_failure"] == "the receiver answers with status 400"
            await chat(meter)
            await until_health(meter, otel_dropped_spans=2, otel_failure=None)
            assert receiver.answers == []
            await chat(meter)
            async with asyncio.timeout(20):
                await receiver.took.wait()
            bearer = {"Authorization": "Bearer admin-token-of-16-bytes"}
            async with meter.client.get(f"{meter.url}/cab/metrics", headers=bearer) as answer:
                text = await answer.text()
    assert 'cab_otel_spans_total{outcome="dropped"} 2' in text
    assert 'cab_otel_spans_total{outcome="sent"} 1' in text


async def test_an_answer_is_read_in_all_its_parts(tmp_path: Path) -> None:
    """What it rejects may stand in the last of them; and no part of what is not HTTP is repeated to anybody."""
    partial = b'{"partialSuccess":{"rejectedSpans":"1"}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(partial)
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(sent := await reader.readuntil(b"\r\n\r\n"))
        if len(seen) == 1:
            writer.write(b"secret\r\n" + sent)
        else:
            writer.write(head + partial[:9])
            await writer.drain()
            # Another part only if what is sent now is not read together with the first one.
            await asyncio.sleep(0.05)
            writer.write(partial[9:])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    only = {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    async with server, exporting_proxy(tmp_path, url, only) as meter:
        await chat(meter)
        refused = "the receiver cannot be reached: its answer is not valid HTTP"
        await until_health(meter, otel_failure=refused)
        await until_health(meter, otel_dropped_spans=1, otel_failure=None)


async def test_without_a_receiver_calls_go_on_and_few_spans_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more spans than may wait the oldest are dropped; one that hangs delays the stop for the limit only."""
    monkeypatch.setattr(exporting, "STOP_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        quick = {"OTEL_EXPORTER_OTLP_TIMEOUT": "50"}
        async with exporting_proxy(tmp_path, url, quick, otel_queue_spans=2) as meter:
            for _ in range(5):
                await chat(meter)
            seen = await until_health(meter, otel_dropped_spans=3)
            async with asyncio.timeout(20):
                while (
                    seen["otel_failure"] is None
                ):  # the first attempt may still wait for its answer
                    seen = await health(meter)
            assert "cannot be reached" in seen["otel_failure"]
            ends = meter.ends()
    assert {end["status"] for end in ends} == {200, 500}

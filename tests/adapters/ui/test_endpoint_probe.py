"""What an endpoint is asked, with a server that answers as the test says."""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from cab.adapters.ui.endpoint_probe import (
    ANSWERS,
    KEY,
    MODEL,
    STREAM_USAGE,
    TOOLS,
    USAGE,
    EndpointProbe,
    probe_endpoint,
)
from cab.proxy.demo import running_demo
from cab.scoring.ledger.records import Endpoint
from tests.tools.ports import port_without_listener
from tests.tools.servers import serving
from tests.tools.tls import certificate

SECRET = "sk-canary-0123456789"
ALL = [ANSWERS, KEY, MODEL, USAGE, STREAM_USAGE, TOOLS]
COUNTS = {"prompt_tokens": 5, "completion_tokens": 2}

Chat = Callable[[dict[str, Any]], web.Response]


def said(content: object = "tea", **more: object) -> dict[str, object]:
    """Return a completion."""
    return {"choices": [{"message": {"role": "assistant", "content": content, **more}}]}


def streamed(*events: object) -> web.Response:
    """Return a stream of events."""
    lines = [b"data: " + orjson.dumps(event) + b"\n\n" for event in events]
    return web.Response(body=b"".join([*lines, b"data: [DONE]\n\n"]))


def well(body: dict[str, Any]) -> web.Response:
    """Answer as agents would have it."""
    if body.get("stream"):
        return streamed({"choices": []}, {"choices": [], "usage": COUNTS})
    tools = {"tool_calls": [{"id": "1"}]} if "tools" in body else {}
    return web.json_response({**said(**tools), "usage": COUNTS})


@asynccontextmanager
async def endpoint(chat: Chat, models: web.Response | None = None) -> AsyncGenerator[str]:
    """Run an endpoint; without `models` it lists none."""

    async def answer_chat(request: web.Request) -> web.Response:
        return chat(await request.json())

    async def answer_models(_: web.Request) -> web.Response:
        return models or web.json_response({"error": "no such path"}, status=404)

    application = web.Application()
    application.router.add_post("/api/v1/chat/completions", answer_chat)
    application.router.add_get("/api/v1/models", answer_models)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1"
    finally:
        await runner.cleanup()


async def probed(
    chat: Chat, models: web.Response | None = None, key: str | None = SECRET
) -> EndpointProbe:
    """Return what is found of an endpoint."""
    async with endpoint(chat, models) as url:
        return await probe_endpoint(url, key, "m")


def states(probe: EndpointProbe) -> dict[str, str]:
    """Return what is known of each thing that was asked."""
    return {each.name: each.state for each in probe.findings}


async def test_all_is_well() -> None:
    """An endpoint that does all of it has a yes for each question, with what was seen."""
    listed = web.json_response({"data": [{"id": "m"}, {"id": "other"}]})

    probe = await probed(well, listed)

    assert states(probe) == dict.fromkeys(ALL, "yes")
    assert probe.usable
    details = {each.name: each.detail for each in probe.findings}
    assert details[ANSWERS] == "127.0.0.1, status 200 to GET /v1/models"
    assert details[USAGE] == details[STREAM_USAGE] == "5 prompt, 2 completion"
    assert (details[KEY], details[MODEL]) == ("", "")


async def test_demo() -> None:
    """The built-in model server answers and counts, and needs no key."""
    async with running_demo() as demo:
        probe = await probe_endpoint(demo.url, None, "demo")

    assert states(probe) == {**dict.fromkeys(ALL, "yes"), TOOLS: "unknown"}
    assert probe.findings[1].detail == "it needs none: CAB_KEY is not set"


async def test_unreachable() -> None:
    """Where nothing listens that is the one finding."""
    with port_without_listener() as port:
        probe = await probe_endpoint(f"http://127.0.0.1:{port}", None, "m")

    [only] = probe.findings
    assert (only.name, only.state) == (ANSWERS, "no")
    assert only.detail == (
        "127.0.0.1: the endpoint refused the connection; fix CAB_ENDPOINT, or start the endpoint"
    )
    assert not probe.usable


@pytest.mark.parametrize("at", ["models", "chat"])
@pytest.mark.parametrize(("key", "fix"), [(SECRET, "fix CAB_KEY"), (None, "set CAB_KEY")])
async def test_key_refused(at: str, key: str | None, fix: str) -> None:
    """A key that is refused is reported, and never shown, although the endpoint quotes it."""
    refused = {"error": {"message": f"Incorrect API key: {key}"}}

    def answer(_: dict[str, Any]) -> web.Response:
        return web.json_response(refused, status=401)

    models = web.json_response(refused, status=401) if at == "models" else None
    probe = await probed(answer, models, key)

    last = probe.findings[-1]
    assert (last.name, last.state) == (KEY, "no")
    assert fix in last.detail
    assert "status 401: Incorrect API key: " in last.detail
    assert SECRET not in last.detail
    assert not probe.usable


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ("no such path, my friend", "unknown"),  # whatever the key
        ("the model m does not exist", "yes"),  # the key was looked at before
    ],
)
async def test_key_at_a_404(message: str, state: str) -> None:
    """A 404 says nothing about the key, unless it is about the model; a wrong path is named as one."""
    wrong = {"error": {"message": message}}
    probe = await probed(lambda _: web.json_response(wrong, status=404))

    assert states(probe)[KEY] == state
    assert ("fix the path of CAB_ENDPOINT" in probe.findings[-1].detail) == (state == "unknown")
    assert not probe.usable


async def test_server_error_for_a_missing_key() -> None:
    """A server that has an error of its own where a key is missing is quoted, and CAB_KEY is named."""
    broken = {"error": {"message": "Authentication Error, No api key passed in.", "code": "500"}}
    probe = await probed(lambda _: web.json_response(broken, status=500), key=None)
    last = probe.findings[-1]
    assert (last.name, last.state) == (KEY, "no")
    assert last.detail == (
        "status 500: Authentication Error, No api key passed in.; it needs a key; set CAB_KEY"
    )

    probe = await probed(lambda _: web.Response(text="worker lost", status=500), key=None)
    assert "status 500: worker lost; the endpoint is" in probe.findings[-1].detail
    assert "if it needs a key, set CAB_KEY" in probe.findings[-1].detail


async def test_scheme() -> None:
    """http:// to a server that speaks TLS, and https:// to one that does not: the right URL is named."""
    async with endpoint(well) as url:
        [plain] = (await probe_endpoint(url.replace("http:", "https:"), None, "m")).findings
    assert plain.detail == f"the server there speaks no TLS: give {url}"

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate())
    async with await asyncio.start_server(_hang_up, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        [secure] = (await probe_endpoint(f"http://127.0.0.1:{port}/v1", None, "m")).findings
    assert secure.detail == f"the server there speaks TLS: give https://127.0.0.1:{port}/v1"


def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_key_across_the_cut() -> None:
    """Of a key that is where a long answer is cut, not even the beginning is shown."""
    long = {"error": {"message": f"{'x' * 190} {SECRET} is not known"}}

    probe = await probed(lambda _: web.json_response(long, status=401))

    assert "status 401: xxx" in probe.findings[-1].detail
    assert SECRET[:4] not in probe.findings[-1].detail


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (
            web.json_response({"error": {"message": "no\nm"}}, status=404),
            "status 404: no m; fix --model or CAB_ENDPOINT; it lists a, b",
        ),
        (web.json_response({"detail": "bad"}, status=422), "status 422: bad; fix --model"),
        (web.Response(body=b"<html>", status=200), "its answer is not a chat completion; fix"),
        (web.json_response([1], status=400), "status 400: [1]; fix --model"),
        (
            web.json_response({"message": "x" * 999}, status=503),
            f"status 503: {'x' * 200}; the endpoint is overloaded or has an error; try again later",
        ),
        (web.json_response({"error": "slow down"}, status=429), "status 429: slow down; the"),
    ],
)
async def test_no_model(answer: web.Response, detail: str) -> None:
    """A model that cannot be had is reported with what the endpoint says and lists."""
    listed = web.json_response({"data": [{"id": "a"}, {"id": "b"}, "odd", {}]})

    probe = await probed(lambda _: answer, listed)

    last = probe.findings[-1]
    assert (last.name, last.state) == (MODEL, "no")
    assert last.detail.startswith(detail)
    assert not probe.usable


async def test_model_that_is_not_listed() -> None:
    """An endpoint may answer for a model that it does not list."""
    probe = await probed(well, web.json_response({"data": [{"id": "a"}]}))

    assert probe.findings[2] == (MODEL, "yes", "the endpoint does not list it, but it answers")


async def test_no_usage() -> None:
    """An endpoint that reports no tokens does all the same: they are counted here."""

    def silent(body: dict[str, Any]) -> web.Response:
        return streamed({"choices": []}) if body.get("stream") else web.json_response(said())

    probe = await probed(silent)

    found = states(probe)
    assert (found[USAGE], found[STREAM_USAGE]) == ("no", "no")
    assert "counts them with a tokenizer" in probe.findings[3].detail
    assert found[TOOLS] == "unknown"
    assert probe.usable


async def test_odd_usage() -> None:
    """A usage without numbers is none."""

    def odd(body: dict[str, Any]) -> web.Response:
        usage = {"usage": {"prompt_tokens": "5"}}
        return (
            streamed(usage, {"usage": [1]}, "text")
            if body.get("stream")
            else web.json_response({**said(), **usage})
        )

    found = states(await probed(odd))

    assert (found[USAGE], found[STREAM_USAGE]) == ("no", "no")


async def test_no_stream_and_no_tools() -> None:
    """What an endpoint refuses is reported with its words; the rest is asked all the same."""

    def plain(body: dict[str, Any]) -> web.Response:
        if body.get("stream") or "tools" in body:
            return web.json_response({"error": {"message": "not here"}}, status=400)
        return well(body)

    probe = await probed(plain)

    assert states(probe)[STREAM_USAGE] == states(probe)[TOOLS] == "no"
    assert probe.findings[-1].detail == "status 400: not here"
    assert probe.usable


@pytest.mark.parametrize(
    ("dialect", "header", "path"),
    [
        ("responses", "Authorization", "/v1/models"),
        ("messages", "x-api-key", "/v1/models"),
        ("gemini.generateContent", "x-goog-api-key", "/v1beta/models"),
    ],
)
@pytest.mark.parametrize("refused", [True, False])
async def test_other_dialects(dialect: Endpoint, header: str, path: str, *, refused: bool) -> None:
    """Where an agent speaks another dialect, the key is sent as that has it; its cell shows the rest."""
    seen: list[tuple[str, str | None]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append((request.path, request.headers.get(header)))
        return web.Response(status=403 if refused else 200)

    async with serving(answer) as url:
        probe = await probe_endpoint(url, SECRET, "m", dialect)

    [(asked, key)] = seen
    assert (asked, (key or "").removeprefix("Bearer ")) == (path, SECRET)
    assert states(probe) == {ANSWERS: "yes", KEY: "no" if refused else "unknown"}
    assert probe.usable is not refused


async def test_breaks_off() -> None:
    """An endpoint that goes away meanwhile is reported at the question that it left open."""

    class Gone(web.Response):
        async def prepare(self, request: web.BaseRequest) -> None:
            assert request.transport is not None
            request.transport.abort()

    probe = await probed(lambda body: Gone() if body.get("stream") else well(body))

    assert probe.findings[-1].name == STREAM_USAGE
    assert probe.findings[-1].state == "no"
    assert probe.usable


async def test_an_endpoint_that_closes_a_connection_after_each_answer() -> None:
    """It announces keep-alive and closes when the next request comes: that says nothing of the model."""
    usage = {"choices": [], "usage": COUNTS}
    stream = b"data: %b\n\ndata: [DONE]\n\n" % orjson.dumps(usage)
    bodies = [
        *(b"{}", orjson.dumps({**said(), "usage": COUNTS}), stream),
        orjson.dumps(said(tool_calls=[{"id": "1"}])),
    ]
    left, closed = iter(bodies), asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        body = next(left)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read(1)
        writer.close()
        await writer.wait_closed()
        closed.release()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        probe = await probe_endpoint(url, SECRET, "m")
        for _ in bodies:
            await closed.acquire()
    assert [(each.name, each.state) for each in probe.findings] == [(name, "yes") for name in ALL]

"""Canaries in every place a secret can come from, and a search of everything that was written."""

import asyncio
import base64
import logging
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import orjson
import pytest

from cab.proxy.app import running_proxy
from cab.proxy.auth import cell_keys
from cab.proxy.auth.signing_keys import parse_signing_keys
from cab.proxy.config import parse_settings
from cab.proxy.errors import BadConfig
from cab.proxy.http.wire.endpoint_pool import EndpointPool
from cab.proxy.logs import configure_logs
from tests.proxy.cli.test_main import running
from tests.tools.client import Seen, post
from tests.tools.proxy import Meter, chat_body, metered

# Without the shapes by which a key is known: they are found because they were sent or held.
HELD = {
    "CAB_KEY": "Canary.held/key+of=endpoint",
    "ROUTE_KEY": "Canary.held/key+of=route",
    "CAB_SIGNING_KEY": "one:Canary.signing.one.0123456789abcdef,two:Canary.signing.two.0123456789abcdef",
    "CAB_ADMIN_TOKEN": "Canary.admin.token.0123",
    "CAB_METRICS_TOKEN": "Canary.metrics.token.0123",
}
CELL = "s/aider/m/f/t"
KEY_SHAPED = "sk-proj-CanaryShaped0123456789abcdefgh"

CONFIG = """
upstream = "{url}/v1"
log_level = "debug"
open_attribution = true

[[routes]]
models = ["routed*"]
upstream = "{url}"
key_env = "ROUTE_KEY"
headers = {{ "X-Static-Token" = "Canary.static.header.token" }}
query = {{ "api-key" = "Canary.static.query.key" }}
"""


def canaries() -> dict[str, str]:
    """Return one canary for each place in a request."""
    places = (
        "bearer",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
        "query",
        "cookie",
        "basic",
        "scheme",
    )
    more = ("proxy", "vendor", "double", "agent", "model")
    return {place: f"Canary~{place}~0123456789" for place in (*places, *more)}


SENT = canaries()


def requests() -> Iterator[tuple[str, list[str]]]:
    """Yield targets and headers, with a canary in each place where a client may put a secret."""
    chat = "/v1/chat/completions"
    basic = base64.b64encode(f"user:{SENT['basic']}".encode()).decode()
    yield chat, [f"Authorization: Bearer {SENT['bearer']}"]
    yield "/v1/messages", [f"x-api-key: {SENT['x-api-key']}"]
    yield chat, [f"api-key: {SENT['api-key']}"]
    yield chat, [f"Authorization: Basic {basic}"]
    yield chat, [f"Authorization: Token token={SENT['scheme']}, realm=x"]
    yield chat, [f"authorization:bearer   Bearer  {SENT['double']}  "]
    yield chat, [f"Cookie: session={SENT['cookie']}; other=1"]
    yield chat, [f"Proxy-Authorization: Basic {SENT['proxy']}"]
    yield chat, [f"X-Vendor-Auth-Token: {SENT['vendor']}", f"User-Agent: me {SENT['vendor']}"]
    yield chat, [f"Authorization: Bearer {SENT['agent']}", f"User-Agent: x/1 ({SENT['agent']})"]
    yield chat, [f"User-Agent: x/1 ({KEY_SHAPED})"]
    gemini = "/v1beta/models/echo-200:generateContent"
    yield gemini, [f"x-goog-api-key: {SENT['x-goog-api-key']}"]
    yield f"{gemini}?alt=json&key={quote(SENT['query'])}", []
    yield "/v1/models", [f"Authorization: Bearer {SENT['bearer']}"]


@dataclass
class Echo:
    """An endpoint that repeats what it was sent in every part of its answers."""

    url: str = ""
    heads: list[str] = field(default_factory=list[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                self.heads.append(head)
                length = [
                    line.split(":")[1] for line in head.splitlines() if "ontent-Length" in line
                ]
                body = await reader.readexactly(int(length[0])) if length else b""
                for piece in answers(" ".join(head.split()), head + body.decode()):
                    writer.write(piece)
                await writer.drain()
                if b"echo-cut" in body:
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def answers(echo: str, asked: str) -> Iterator[bytes]:
    """Yield an answer that holds `echo` wherever an endpoint may write a text."""
    message = {"role": "assistant", "content": "hey"}
    choice = {"index": 0, "message": message, "delta": message, "finish_reason": echo}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, echo: {"in": [echo]}}
    whole = {
        "id": echo,
        "model": echo,
        "system_fingerprint": echo,
        "choices": [choice],
        "usage": usage,
    }
    error = {
        "type": "error",
        "error": {"message": echo, "type": echo, "code": echo, "status": echo},
    }
    if "echo-stream" in asked:
        events = [b"data: " + orjson.dumps(event) + b"\n\n" for event in (whole, error)]
        raw, kind = b"".join(events), "text/event-stream"
    else:
        raw, kind = orjson.dumps(error if "echo-error" in asked else whole), "application/json"
    status = "401 Denied" if "echo-error" in asked else "200 OK"
    if "echo-garbage" in asked:
        raw = b"<html>" + raw
    length = len(raw) + (9 if "echo-cut" in asked else 0)
    head = f"HTTP/1.1 {status}\r\nX-Echo: {echo}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    yield (
        f"{head}Connection: {'close' if length > len(raw) else 'keep-alive'}\r\n\r\n".encode() + raw
    )


@asynccontextmanager
async def echo_upstream() -> AsyncIterator[Echo]:
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        echo.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield echo


MODELS = ["echo-200", "echo-stream", "echo-error", "echo-garbage", "echo-cut", "routed-echo-error"]


def body_for(model: str) -> dict[str, Any]:
    return {**chat_body(model=model, stream="stream" in model), "metadata": {"key": SENT["model"]}}


async def call_in_all_ways(url: str) -> None:
    """Send every request with every answer, and with keys of ours that do and do not hold."""
    for target, headers in requests():
        for model in MODELS:
            method = "GET" if target.endswith("/models") else "POST"
            await post(
                url, target, b"" if method == "GET" else body_for(model), *headers, method=method
            )
    # A key as the model's name: pasted into the wrong field.
    for secret in (SENT["model"], KEY_SHAPED):
        await post(url, "/v1/chat/completions", body_for(secret), f"Authorization: Bearer {secret}")
    await post(url, f"/cell/{KEY_SHAPED}/v1/chat/completions", body_for("echo-200"))
    await post(url, "/v1/chat/completions", body_for("m"), f"X-Cab-Cell: {KEY_SHAPED}")


def keys_of_the_cell() -> list[str]:
    """Return keys of a cell: one that holds, one that has expired, one of another proxy."""
    ring = parse_signing_keys(HELD["CAB_SIGNING_KEY"])
    other = parse_signing_keys("Canary.signing.other.0123456789abcdef")
    now_s = 1_800_000_000 + 10**9
    return [
        cell_keys.mint(ring, CELL, 10**9, now_s),
        cell_keys.mint(ring, CELL, 60, 1_000_000_000),
        cell_keys.mint(other, CELL, 10**9, now_s),
    ]


async def use_cell_keys(url: str) -> list[Seen]:
    """Call and use the control API with each of them, in the head, the path and the query."""
    chat = body_for("echo-200")
    seen: list[Seen] = []
    for key in keys_of_the_cell():
        bearer = f"Authorization: Bearer {key}"
        await post(url, "/v1/chat/completions", chat, bearer, f"User-Agent: {key}")
        await post(url, f"/cell/{key}/v1/chat/completions", chat)
        await post(url, f"/v1beta/models/echo-error:generateContent?key={key}", chat)
        cell = f"/cab/cells/{quote(CELL, safe='')}"
        seen.append(await post(url, cell, b"", bearer, method="GET"))
        seen.append(await post(url, f"{cell}/calls", b"", bearer, method="GET"))
        seen.append(await post(url, f"/cab/cells/{key}/calls", b"", bearer, method="GET"))
        seen.append(await post(url, "/cab/keys", {"cell_id": key, "ttl_s": 1, key: key}, bearer))
    admin = f"Authorization: Bearer {HELD['CAB_ADMIN_TOKEN']}"
    for method, path in [("GET", "/cab/cells"), ("GET", "/cab/health"), ("GET", "/cab/nothing")]:
        seen.append(await post(url, path, b"", admin, method=method))
    seen.append(await post(url, "/cab/metrics", b"", admin, method="GET"))
    seen.append(await post(url, "/cab/keys/revoke", {"key": SENT["model"]}, admin))
    seen.append(await post(url, "/cab/keys", {SENT["model"]: SENT["model"]}, admin))
    seen.append(await post(url, f"/cab/cells/{quote(CELL, safe='')}/seal", b"", admin))
    seen.append(await post(url, f"/cab/cells?limit={SENT['model']}", b"", admin, method="GET"))
    return seen


def found_in(data: bytes) -> set[str]:
    """Return the canaries that some bytes hold, as they are, in a URL, in Base64, or in JSON."""
    found = set[str]()
    signing = HELD["CAB_SIGNING_KEY"].replace(",", ":").split(":")[1::2]
    static = ["Canary.static.header.token", "Canary.static.query.key"]
    for secret in (
        *HELD.values(),
        *signing,
        *static,
        *SENT.values(),
        KEY_SHAPED,
        *keys_of_the_cell(),
    ):
        raw = secret.encode()
        forms = {raw, quote(secret, safe="").encode(), base64.b64encode(b"user:" + raw)}
        found |= {secret for form in forms if form in data}
    return found | ({"anything"} if b"canary" in data.lower() else set())


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_no_secret_is_written(tmp_path: Path, log_format: str) -> None:
    """No key, token, cookie or Authorization value is in the ledger, a log, or the control API."""
    async with echo_upstream() as echo:
        config = tmp_path / "cab.toml"
        config.write_text(CONFIG.format(url=echo.url))
        arguments = ("--config", str(config), "--log-format", log_format)
        with running(*arguments, cwd=tmp_path, **HELD) as (process, printed):
            url = next(word for word in printed.split() if word.startswith("http://127"))
            # The log is read while the proxy runs: it would wait for a reader.
            log = asyncio.create_task(asyncio.to_thread(process.stderr.read))  # type: ignore[union-attr]  # noqa: TID251 - ends with the process
            await call_in_all_ways(url)
            seen = await use_cell_keys(url)
            process.send_signal(signal.SIGTERM)
            logged = (await log).encode()
            assert process.wait(30) == 0
    ledger = b"".join(file.read_bytes() for file in (tmp_path / "cab-ledger").iterdir())
    assert ledger.count(b"[redacted]") > 100
    assert logged.count(b"\n") > 80
    assert {name for answer in seen for name in found_in(answer.body)} == set()
    assert found_in(ledger) == set()
    assert found_in(logged) == set()
    assert found_in(printed.encode()) == set()
    assert sum("Canary.held" in head for head in echo.heads) > 80, "the endpoint gets its key"


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_tracebacks_hold_no_secret(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log_format: Literal["console", "json"],
) -> None:
    """An exception whose text holds keys is logged without them, from wherever it is logged."""
    configure_logs("debug", log_format)

    async def fails(*arguments: object, **_: object) -> None:
        logging.getLogger("asyncio").error("lost: %r", arguments)
        raise RuntimeError(f"cannot send {arguments!r} {HELD['CAB_KEY']}")

    monkeypatch.setattr(EndpointPool, "connect", fails)
    chat, headers = next(requests())
    values: dict[str, Any] = {"key": HELD["CAB_KEY"], "signing_key": HELD["CAB_SIGNING_KEY"]}
    async with metered("http://127.0.0.1:9", tmp_path, **values) as meter:
        seen = await post(meter.url, chat, chat_body(), *headers)
        target = f"/v1beta/models/m:generateContent?key={quote(SENT['query'])}"
        await post(meter.url, target, chat_body(), f"Cookie: a={SENT['cookie']}")
        try:
            raise RuntimeError(HELD["CAB_KEY"] + HELD["CAB_SIGNING_KEY"])
        except RuntimeError as error:
            sys.excepthook(RuntimeError, error, error.__traceback__)
    logged = capsys.readouterr().err
    assert seen.status == 500
    assert logged.count("RuntimeError") >= 3
    assert logged.count("lost: ") == 2
    assert "crashed" in logged
    assert found_in(logged.encode()) == set()
    assert found_in(seen.body) == set()


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_two_proxies_in_one_process_show_no_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log_format: Literal["console", "json"],
) -> None:
    """Each one's keys are redacted in the logs of both, while both run and when one has ended."""
    configure_logs("debug", log_format)
    keys = {name: f"Canary.key/of+proxy={name}" for name in ("one", "two")}

    async def fails(*_: object) -> None:
        logging.getLogger("asyncio").error("lost: %s", list(keys.values()))
        raise RuntimeError(f"cannot send {sending[-1]}")

    monkeypatch.setattr(EndpointPool, "connect", fails)
    chat, headers = next(requests())

    sending: list[str] = []

    async def call(meter: Meter, name: str) -> None:
        sending.append(keys[name])
        assert (await post(meter.url, chat, chat_body(), *headers)).status == 500

    async with metered("http://127.0.0.1:9", tmp_path / "one", key=keys["one"]) as one:
        async with metered("http://127.0.0.1:9", tmp_path / "two", key=keys["two"]) as two:
            await call(one, "one")
            await call(two, "two")
            await call(one, "one")
        await call(one, "one")
        logging.getLogger("asyncio").error("lost: %s", list(keys.values()))
    async with metered("http://127.0.0.1:9", tmp_path / "two", key=keys["two"]) as two:
        await call(two, "two")
    logging.getLogger("asyncio").error("lost: %s", list(keys.values()))
    logged = capsys.readouterr().err
    assert (logged.count("RuntimeError: cannot send"), logged.count("lost: ")) == (5, 7)
    assert found_in(logged.encode()) == set()


async def test_a_key_in_the_query_goes_upstream_as_a_header(tmp_path: Path) -> None:
    """Gemini's key= is taken out like a header's, and the endpoint's key goes in a header."""
    target = f"/v1beta/models/echo-200:generateContent?alt=json&key={SENT['query']}&x=1"
    async with echo_upstream() as echo:
        async with metered(echo.url, tmp_path, key="the-real-key-0123") as meter:
            await post(meter.url, target, body_for("m"))
        async with metered(echo.url, tmp_path / "own", key=None) as meter:
            await post(meter.url, target, body_for("m"))
            cell = meter.proxy.mint_key(CELL, 60)
            await post(meter.url, target.replace(SENT["query"], cell), body_for("m"))
            assert (await meter.settled(2))[1]["cell_id"] == CELL
    replaced, own, ours = (head.splitlines() for head in echo.heads)
    assert "?alt=json&x=1 " in replaced[0]
    assert "x-goog-api-key: the-real-key-0123" in replaced
    assert f"&key={SENT['query']}&" in own[0]
    assert "?alt=json&x=1 " in ours[0]
    assert not any(line.startswith("x-goog-api-key") for line in ours)


def test_a_crash_of_the_command_shows_no_key(tmp_path: Path) -> None:
    """A key in a place that is printed, such as the endpoint's URL, stops the start, redacted."""
    for upstream in (
        f"http://user:{SENT['model']}@h/v1",
        f"ftp://{SENT['model']}@h",
        f"http://h?{SENT['model']}",
    ):
        with running("--upstream", upstream, cwd=tmp_path) as (process, printed):
            assert process.wait(30) == 2
            assert process.stderr
            said = process.stderr.read()
        assert printed == ""
        assert len(said.splitlines()) == 1
        assert found_in(said.encode()) == set()


@pytest.mark.parametrize("key", ["sk-canary\r", "sk-\ncanary", "sk-\udce9canary"])
async def test_a_key_that_no_header_can_hold_is_refused(tmp_path: Path, key: str) -> None:
    """A line end in the key is told before any call fails for it, and the key is not shown."""
    with pytest.raises(BadConfig, match=r"CAB_KEY (has a line end|is not valid UTF-8)") as caught:
        async with running_proxy(
            parse_settings(
                {"upstream": "http://127.0.0.1:9", "port": 0, "ledger": tmp_path}, "test"
            ),
            upstream_key=key,
        ):
            pass
    assert "canary" not in str(caught.value)

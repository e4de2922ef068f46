"""Two cells share a proxy. One tries all that an agent can try; the other has what it has without it."""

import asyncio
import contextlib
import gzip
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import zstandard
from aiohttp import WSMsgType, web

from cab.adapters.cli import main
from cab.proxy import ControlClient, KeyLimits
from cab.scoring import iter_records, parse_record, score_tokens
from tests.scoring.builders import summed
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.process import proxy_process
from tests.tools.raw import connected, exchange, request
from tests.tools.websockets import Client, created, ended
from tests.tools.websockets import connected as socket_to

ADMIN = "the-admin-token-0123456789abcdef"
REAL_KEY = "sk-real-9f8e7d6c5b4a39281706"
GOOD, ENEMY = "s/aider/m/f/good", "s/aider/m/f/enemy"
CHAT, MESSAGES, RESPONSES = (
    BY_ENDPOINT[name] for name in ("chat.completions", "messages", "responses")
)
MB = 1 << 20
Body = dict[str, Any]


def chat(**changes: Any) -> bytes:
    return orjson.dumps({**CHAT.request, **changes})


def answered(**changes: Any) -> bytes:
    return orjson.dumps({**CHAT.answer, **changes})


ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "counts of 2^53": (200, {}, answered(usage=dict.fromkeys(CHAT.answer["usage"], 2**53))),
    "a large usage": (200, {}, answered(usage={f"x{n}": n for n in range(5000)})),
    "huge names": (200, {}, answered(id="i" * MB, model="m" * MB, system_fingerprint="f" * MB)),
    "escapes": (200, {}, answered(model="\x1b]0;owned\x07\x1b[2J", id="\x1b[31m")),
    "names that are slow to read": (200, {}, answered(model="sk-a." * 8000, id="eyJ-" * 8000)),
    "lists": (200, {}, b'{"choices":[' + b"[]," * MB + b"0]}"),
    "not JSON": (200, {}, b"\xff\xfe" * 1000),
    "a gzip bomb": (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(20 * MB))),
    "a broken gzip": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08\0junk"),
    "200,000 lines of data": (
        200,
        {"Content-Type": "text/event-stream"},
        b"data:\n" * 200_000 + b"\n",
    ),
    "an event of 9 MB": (
        200,
        {"Content-Type": "text/event-stream"},
        b'data: {"a":"' + b"x" * (9 * MB) + b'"}\n\n',
    ),
    "a redirect elsewhere": (307, {"Location": "http://127.0.0.1:9/v1/chat/completions"}, b""),
    "a redirect to itself": (307, {"Location": CHAT.path}, b""),
    "the key that it got": (500, {}, b""),
    "an error of 1 MB": (429, {}, answered(error={"message": "e" * MB, "type": "t" * 5000})),
}
"""What the endpoint answers where a request has its name in `X-Answer`."""


@dataclass
class Endpoint:
    """A model server that counts what it is asked to do; a call on a WebSocket is one request."""

    url: str = ""
    served: Counter[str] = field(default_factory=Counter)
    """By `X-Who`."""

    async def answer(self, asked: web.BaseRequest) -> web.StreamResponse:
        who = asked.headers.get("X-Who", "")
        if asked.headers.get("Upgrade"):
            return await self._talk(asked, who)
        body = await asked.content.read()
        self.served[who] += 1
        name = asked.headers.get("X-Answer", "")
        if name == "the key that it got":
            text = f"no key {asked.headers['Authorization']}"
            return web.Response(status=401, body=answered(error={"message": text}, model=text))
        if name:
            status, headers, data = ANSWERS[name]
            return web.Response(status=status, headers=headers, body=data)
        sample = next(s for s in (MESSAGES, RESPONSES, CHAT) if s is CHAT or s.path in asked.path)
        if b'"stream":true' not in body:
            return web.json_response(sample.answer)
        return web.Response(content_type="text/event-stream", body=b"".join(sample.events))

    async def _talk(self, asked: web.BaseRequest, who: str) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(asked)
        async for message in socket:
            asked_for = orjson.loads(message.data)
            if asked_for["type"] == "response.steer":
                steer = {"id": "s", "previous_response_id": asked_for["previous_response_id"]}
                await socket.send_json({"type": "response.steer.failed", "steer": steer})
                continue
            self.served[who] += 1
            for event in (created, ended):
                answer_id = f"r{self.served[who]}"
                await socket.send_json(event(answer_id, asked_for.get("stream_id")))
        return socket


LIMITS: Any = {
    "auto_decompress": False,
    "max_field_size": MB,
    "max_line_size": MB,
    "max_headers": 999,
}


@asynccontextmanager
async def endpoint() -> AsyncGenerator[Endpoint]:
    served = Endpoint()
    runner = web.ServerRunner(web.Server(served.answer, **LIMITS), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


@dataclass
class World:
    """A proxy as an agent sees it: an address and a key."""

    url: str
    key: str
    who: str

    def headers(self) -> tuple[str, ...]:
        return f"Authorization: Bearer {self.key}", f"X-Who: {self.who}"

    async def send(
        self, target: str, body: bytes, *headers: str, method: str = "POST"
    ) -> tuple[int, bytes]:
        named = any(header.startswith("Content-Type") for header in headers)
        typed = () if named else ("Content-Type: application/json",)
        raw = request(target, body, *typed, *self.headers(), *headers, method=method)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            seen = await exchange(self.url, raw, method)
            return seen.status, seen.body
        return 0, b""

    @asynccontextmanager
    async def socket(self) -> AsyncGenerator[Client]:
        headers = dict(header.split(": ", 1) for header in self.headers())
        async with (
            aiohttp.ClientSession() as session,
            socket_to(session, self.url, headers=headers) as client,
        ):
            yield client


@dataclass
class Try:
    """One request of the enemy, and with which statuses it may be answered."""

    statuses: tuple[int, ...]
    target: str = CHAT.path
    body: bytes = field(default_factory=chat)
    headers: tuple[str, ...] = ()
    method: str = "POST"


SERVED, REFUSED, ANY = (200,), (400,), (0, 200, 307, 400, 401, 429, 500, 502)
OTHERS = "/cab/cells/" + GOOD.replace("/", "%2F")
OWN = "/cab/cells/" + ENEMY.replace("/", "%2F")

TRIES: dict[str, Try] = {
    # records
    "a model of 3 MB": Try(SERVED, body=chat(model="m" * 3 * MB)),
    "a user agent of 60 KB": Try(SERVED, headers=("User-Agent: " + "a" * 60_000,)),
    "words of the record as a secret": Try(
        SERVED, headers=("X-My-Token: m-1 completed prompt_tokens",)
    ),
    "escapes and formulas": Try(SERVED, body=chat(model="=cmd|'/C calc'!A0\x1b]0;x\x07")),
    "fake retries": Try(SERVED, headers=("x-stainless-retry-count: 1",)),
    "fake retries again": Try(SERVED, headers=("x-stainless-retry-count: 1",)),
    # rights
    "TRACE": Try((501,), body=b"", method="TRACE"),
    "another team by dots": Try(REFUSED, "/v1/../../team-b/v1/chat/completions"),
    "minting at the endpoint": Try((404,), "/v1/organization/api_keys"),
    "the endpoint's files": Try((404,), "/v1/files", b"", method="GET"),
    "a native path": Try((404,), "/invocations"),
    "sealing itself": Try((403,), OWN + "/seal", b""),
    "sealing the other": Try((403,), OTHERS + "/seal", b""),
    "reading the other": Try((403,), OTHERS + "/calls", b"", method="GET"),
    "opening a cell": Try((403,), "/cab/cells/s%2Fa%2Fm%2Ff%2Fnew/open", b""),
    "minting": Try((401, 403), "/cab/keys", orjson.dumps({"cell_id": GOOD, "ttl_s": 60})),
    "revoking": Try((401, 403), "/cab/keys/revoke", orjson.dumps({"cell_id": GOOD})),
    "the other's name": Try(SERVED, headers=(f"X-Cab-Cell: {GOOD}",)),
    "the other's name in the path": Try(SERVED, f"/cell/{GOOD.replace('/', '%2F')}{CHAT.path}"),
    # metering
    "UTF-16": Try(REFUSED, body=chat().decode().encode("utf-16")),
    "UTF-7": Try(REFUSED, headers=("Content-Type: application/json; charset=utf-7",)),
    "members twice": Try(REFUSED, body=b'{"model":"a","model":"m","messages":[]}'),
    "a stream as text": Try(REFUSED, body=chat(stream="true")),
    "usage as a number": Try(REFUSED, body=chat(stream=True, stream_options={"include_usage": 0})),
    "a dot": Try(SERVED, "/v1/chat/completions/."),
    "two slashes": Try(SERVED, "/v1//chat//completions"),
    "an escaped letter": Try(SERVED, "/v1/%63hat/completions"),
    "an escaped dot": Try(REFUSED, "/v1/chat/completions/%2e"),
    "an escaped slash": Try(REFUSED, "/v1/chat%2Fcompletions"),
    "a backslash": Try(REFUSED, "/v1/chat\\completions"),
    "GET with a body": Try(SERVED, method="GET"),
    "QUERY": Try(SERVED, method="QUERY"),
    "gzip": Try(SERVED, body=gzip.compress(chat()), headers=("Content-Encoding: gzip",)),
    "zstd": Try(SERVED, body=zstandard.compress(chat()), headers=("Content-Encoding: zstd",)),
    "an unknown coding": Try(REFUSED, headers=("Content-Encoding: compress",)),
    # bounds
    "a model that is slow to read": Try(SERVED, body=chat(model="sk-a." * 8000)),
    "a user agent that is slow to read": Try(SERVED, headers=("User-Agent: " + "eyJ-" * 15_000,)),
    "a hundred tokens": Try(SERVED, headers=tuple(f"X-Token-{n}: {'k' * 500}" for n in range(100))),
    "3 MB of lists": Try(SERVED, body=b'{"model":"m","messages":[' + b"[]," * MB + b"0]}"),
    "200,000 levels": Try(REFUSED, body=b'{"model":"m","a":' + b"[" * 200_000),
    "a zstd bomb": Try(
        REFUSED, body=zstandard.compress(bytes(200 * MB)), headers=("Content-Encoding: zstd",)
    ),
    **{f"answered by {name}": Try(ANY, headers=(f"X-Answer: {name}",)) for name in ANSWERS},
}


async def partial_heads(world: World, go_on: asyncio.Event) -> None:
    """Leave heads, bodies and connections unfinished until everybody else is done."""
    async with AsyncExitStack() as stack:
        unfinished = request(CHAT.path, b"", *world.headers(), "Expect: 100-continue").replace(
            b"Content-Length: 0", b"Content-Length: %d" % (60 * MB)
        )
        for number in range(60):
            line = await stack.enter_async_context(connected(world.url))
            # Of its half of the budget some MB are left for what it tries meanwhile.
            line.send(unfinished if number < 2 else (b"", b"POST /v1")[number % 2])
        await go_on.wait()


async def odd_messages(world: World) -> None:
    """What an endpoint could read otherwise is refused; what is served is a call."""
    async with world.socket() as client:
        for text in ("junk", "[]", '{"type":"response.create","type":"x"}', '{"input":1}'):
            await client.send(text)
            assert (await client.event())["type"] == "error"
        await client.ws.send_bytes(b"\xff\xfe")
        assert (await client.event())["type"] == "error"
        await client.send({"type": "response.steer", "previous_response_id": "nobody's"})
        assert (await client.event())["type"] == "response.steer.failed"
        await client.create("l" * 256)
        await client.response()
        await client.create(input="x" * 3 * MB)
        await client.response()
        await client.ws.close()


async def odd_frames(world: World) -> None:
    """A connection that breaks the protocol ends."""
    for frame in (
        b"\x83\x80mask",
        b"\x89\xfe\x00\x80mask",
        b"\x81\xff" + b"\x7f" * 12,
        b"\xc1\x80mask",
    ):
        async with world.socket() as client:
            assert client.ws._writer is not None
            client.ws._writer.transport.write(frame)
            message = await client.ws.receive(20)
            assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR}


async def over_http(world: World, name: str) -> None:
    tried = TRIES[name]
    seen = await world.send(tried.target, tried.body, *tried.headers, method=tried.method)
    assert seen[0] in tried.statuses, (name, *seen)
    assert REAL_KEY.encode() not in seen[1] or name == "answered by the key that it got"


ENEMYS: list[Callable[[World], Awaitable[None]]] = [
    *((lambda world, name=name: over_http(world, name)) for name in TRIES),
    odd_messages,
    odd_frames,
]


async def ordinary(world: World) -> None:
    """One call over a WebSocket."""
    async with world.socket() as client:
        await client.create()
        await client.response()
        await client.ws.close()


def posted(path: str, body: Body, status: int = 200) -> Callable[[World], Awaitable[None]]:
    async def post(world: World) -> None:
        assert (await world.send(path, orjson.dumps(body)))[0] == status

    return post


CALLS: list[Callable[[World], Awaitable[None]]] = [
    posted(CHAT.path, CHAT.request),
    posted(CHAT.path, CHAT.body(stream=True)),
    posted(MESSAGES.path, MESSAGES.request),
    ordinary,
    posted(RESPONSES.path, RESPONSES.request),
    posted(CHAT.path, CHAT.request),
    posted(CHAT.path, CHAT.request, status=400),
]
"""The calls of the other cell, in order; its limit is at six."""


@dataclass
class Result:
    """What a run has left of the good cell, without ids, times and hashes."""

    lines: list[Body]
    seal: Body
    totals: Body
    score: Body


PERSONAL = frozenset(
    {"call_id", "prev", "hash", "connection_id", "started_at", "ended_at", "stale_connections"}
    | {"first_at", "last_at", "digest", "heads", "sealed_at", "signature", "key_id", "upstream"}
)


def impersonal(members: Body) -> Body:
    """Return what two runs of the same calls must have in common."""
    kept = {k: v for k, v in members.items() if k not in PERSONAL and not k.endswith("_ms")}
    return {**kept, "retry_of": members.get("retry_of") is not None}


async def run(folder: Path, *, with_enemy: bool) -> tuple[Result, Endpoint]:
    """Make the calls of the good cell, each beside some tries of the enemy; seal both."""
    env = {"CAB_KEY": REAL_KEY, "CAB_ADMIN_TOKEN": ADMIN}
    async with (
        endpoint() as model,
        proxy_process(model.url, folder, "--auth", "keys", env=env) as proxy,
        ControlClient(proxy.url, ADMIN) as control,
    ):
        mine = (await control.mint(GOOD, 600, KeyLimits(max_calls=6, max_tokens=10**6)))["key"]
        its = (await control.mint(ENEMY, 600, KeyLimits(max_tokens=10**12)))["key"]
        await control.open_cell(GOOD)
        good, enemy = World(proxy.url, mine, GOOD), World(proxy.url, its, ENEMY)
        go_on = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            if with_enemy:
                tasks.create_task(partial_heads(enemy, go_on))
            for number, call in enumerate(CALLS):
                beside = ENEMYS[number :: len(CALLS)] if with_enemy else []
                await asyncio.gather(call(good), *(attempt(enemy) for attempt in beside))
            go_on.set()
        totals = await control.totals(GOOD)
        sealed = await control.seal(GOOD)
        if with_enemy:
            await control.seal(ENEMY)
        lines = [orjson.loads(line) for line in sealed.lines.splitlines()]
        sums = summed(parse_record(line, GOOD, 1) for line in sealed.lines.splitlines())
        score = score_tokens(sums, passed=1).model_dump()
        made = [impersonal(line) for line in lines]
        return Result(made, impersonal(sealed.seal), impersonal(totals), score), model


async def test_one_cell_cannot_change_what_the_other_has(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ledger slice, budget, seal and score are those of a proxy without the enemy; the ledger holds."""
    alone, _ = await run(tmp_path / "alone", with_enemy=False)
    beside, model = await run(tmp_path / "beside", with_enemy=True)

    assert beside == alone
    assert (alone.totals["calls"], alone.seal["calls"]) == (6, 6)
    ledger = tmp_path / "beside" / "ledger"
    assert main(["ledger", "verify", str(ledger)]) in (0, 3), capfd.readouterr()
    ends = [vars(record) for record in iter_records(ledger) if record.kind == "end"]
    for who in (GOOD, ENEMY):
        made = [end for end in ends if end["cell_id"] == who]
        assert model.served[who] == sum(
            end["upstream_attempts"] for end in made if end["end_reason"] != "rejected"
        ), f"each request of {who} that the endpoint served is in the ledger"
    assert set(model.served) == {GOOD, ENEMY}
    for file in ledger.rglob("*"):
        assert not file.is_file() or REAL_KEY.encode() not in file.read_bytes()

"""Each call once at the endpoint itself and once through the proxy: what differs must be named here."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.http.headers import CREDENTIALS
from cab.scoring.ledger.records import METERED_ENDPOINTS
from tests.tools.cases import case, cases
from tests.tools.dialects import BY_ENDPOINT, SAMPLES, Sample
from tests.tools.proxy import REAL_KEY, Meter, metered
from tests.tools.raw import Answer, Header, chunked, connected, exchange, request
from tests.tools.upstream import (
    DONE,
    LAST_CHUNK,
    Fault,
    Received,
    ScriptedUpstream,
    Step,
    chunk,
    event,
    json_answer,
    scripted_upstream,
    sse_head,
)
from tests.tools.wires import LOOPS

WIRES = LOOPS

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
SET_BY_THE_PROXY = {"host", "content-length", "accept-encoding", *CREDENTIALS}
MODELS = request("/v1/models", method="GET")
CHAT = BY_ENDPOINT["chat.completions"]
PLAYS = [(s, stream) for s in SAMPLES for stream in (False, True) if s.streams or not stream]


@dataclass
class Pair:
    """One request at the endpoint itself, and the same one through the proxy."""

    direct: Answer
    through: Answer
    seen_direct: Received
    seen_through: Received
    row: dict[str, Any]
    host: str = ""
    """The endpoint's own name."""


@asynccontextmanager
async def both_ways(
    folder: Path, script: Sequence[Step], **settings: Any
) -> AsyncGenerator[tuple[ScriptedUpstream, Meter]]:
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, folder, paths=["/**"], **settings) as meter,
    ):
        yield upstream, meter


async def pair_of(
    folder: Path, script: Sequence[Step], raw: bytes, method: str = "POST", **settings: Any
) -> Pair:
    async with both_ways(folder, script, **settings) as ways:
        return await next_pair(*ways, script, raw, method)


async def next_pair(
    upstream: ScriptedUpstream,
    meter: Meter,
    script: Sequence[Step],
    raw: bytes,
    method: str = "POST",
) -> Pair:
    """Send one more request both ways; through the proxy it is one request too."""
    before = len(upstream.received)
    upstream.scripts = [script]
    direct = await exchange(upstream.url, raw, method)
    through = await exchange(meter.url, raw, method)
    seen_direct, seen_through = upstream.received[before:]
    rows = await meter.settled(len(upstream.received) // 2)
    host = upstream.url.removeprefix("http://")
    return Pair(direct, through, seen_direct, seen_through, rows[-1], host)


def end_to_end(headers: list[Header], drop: set[str] = HOP_BY_HOP) -> list[Header]:
    return [(name, value) for name, value in headers if name.lower() not in drop]


def assert_answers_agree(pair: Pair, framing: str | None = None) -> None:
    """Compare what the client saw: all but the hop's own headers and `x-cab-call-id`."""
    direct, through = pair.direct, pair.through
    assert (through.status, through.reason) == (direct.status, direct.reason)
    *headers, own = end_to_end(through.headers)
    assert headers == end_to_end(direct.headers)
    assert own == ("x-cab-call-id", pair.row["call_id"])
    assert through.framing == (framing or direct.framing)
    assert through.pieces == direct.pieces
    assert through.complete == direct.complete


def assert_requests_agree(pair: Pair) -> None:
    """Compare what the endpoint saw: all but the hop's own headers, host, length, key and coding."""
    direct, through = pair.seen_direct, pair.seen_through
    assert (through.method, through.target) == (direct.method, direct.target)
    drop = HOP_BY_HOP | SET_BY_THE_PROXY
    assert end_to_end(through.headers, drop) == end_to_end(direct.headers, drop)
    assert through.body == direct.body
    is_metered = pair.row["endpoint"] in METERED_ENDPOINTS
    coding = "identity" if is_metered else direct.header("Accept-Encoding")
    assert through.header("Accept-Encoding") == coding


def assert_transparent(pair: Pair, framing: str | None = None) -> None:
    assert_answers_agree(pair, framing)
    assert_requests_agree(pair)


def call(sample: Sample, *headers: str, stream: bool) -> bytes:
    body = orjson.dumps(sample.body(stream=stream))
    return request(sample.target(stream=stream), body, "content-type: application/json", *headers)


def whole(sample: Sample, *headers: str, stream: bool) -> list[Step]:
    if not stream:
        return [json_answer(sample.answer, "200 OK", *headers)]
    return [sse_head(*headers), *(chunk(e) for e in sample.events), LAST_CHUNK]


def label(play: tuple[Sample, bool]) -> str:
    return f"{play[0].endpoint}-{'stream' if play[1] else 'whole'}"


async def test_a_call_is_the_same_both_ways(tmp_path: Path) -> None:
    """In every dialect, streamed and not, both sides see each other's bytes, chunk by chunk."""
    sent = ("Authorization: Bearer agents-own", "user-agent: Agent/1 (x; y)", "ACCEPT: */*",
            "Accept-Encoding: gzip, br", "x-Stainless-Lang: js", "X-Two: a", "X-Two: b")  # fmt: skip
    got = ("Date: Fri, 20 Nov 2026 12:00:00 GMT", "Server: them/2", "x-request-id: req_1",
           "openai-processing-ms: 7", "X-Two: c", "X-Two: d")  # fmt: skip
    async with both_ways(tmp_path, []) as ways:
        for sample, stream in PLAYS:
            with case(label((sample, stream))):
                script = whole(sample, *got, stream=stream)
                pair = await next_pair(*ways, script, call(sample, *sent, stream=stream))
                assert_transparent(pair)
                assert pair.direct.complete
                assert pair.seen_through.header("Authorization") == f"Bearer {REAL_KEY}"
                assert pair.seen_through.header("Host") == pair.host
                assert pair.row["endpoint"] == sample.endpoint


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "429 Slow Down, Please", "500 Oops", "529 Overloaded"]
)
async def test_errors_are_the_same_both_ways(status: str, tmp_path: Path) -> None:
    """An error keeps its status, its words, its headers and its body, whatever was asked for."""
    error = {"error": {"message": "no", "type": "some_error", "code": "some_code"}}
    headers = ("retry-after: 2", "retry-after-ms: 1500", "x-should-retry: true")
    script: list[Step] = [json_answer(error, status, *headers)]
    async with both_ways(tmp_path, []) as ways:
        for sample, stream in PLAYS:
            with case(label((sample, stream))):
                raw = call(sample, stream=stream)
                assert_transparent(await next_pair(*ways, script, raw))


@pytest.mark.parametrize("cut", [Fault.CLOSE, Fault.RESET])
@cases("play", PLAYS)
async def test_a_cut_answer_is_cut_both_ways(
    play: tuple[Sample, bool], cut: Fault, tmp_path: Path
) -> None:
    """An answer that breaks off is seen to break off, with the same bytes before."""
    sample, stream = play
    script = whole(sample, stream=stream)
    last = script[-2] if stream else script[-1]
    assert isinstance(last, bytes)
    got_it = asyncio.Event()
    half: list[Step] = [*script[:-2], last[: len(last) // 2], got_it, cut]
    async with both_ways(tmp_path, half) as (upstream, meter):
        answers: list[Answer] = []
        for url in (upstream.url, meter.url):
            got_it.clear()
            async with connected(url) as line, asyncio.TaskGroup() as tasks:
                line.send(call(sample, stream=stream))
                answer = tasks.create_task(line.answer())
                # A reset may destroy what is still under way: let it pass first.
                await asyncio.wait([answer], timeout=0.05)
                got_it.set()
            answers.append(answer.result())
        [row] = await meter.settled(1)
    direct, through = answers
    assert not direct.complete
    assert not through.complete
    assert through.body == direct.body
    assert row["end_reason"] == "upstream_cut"


@pytest.mark.parametrize("sample", [BY_ENDPOINT["chat.completions"], BY_ENDPOINT["completions"]],
                         ids=lambda s: str(s.endpoint))  # fmt: skip
async def test_usage_that_was_not_asked_for_is_all_that_differs(
    sample: Sample, tmp_path: Path
) -> None:
    """The endpoint sees one member more; the client sees what it would have seen without it."""

    def events(*, usage: bool) -> list[bytes]:
        kept = [e for e in sample.events if usage or b'"choices":[]' not in e]
        extra = {"usage": None} if usage else {}
        return [
            e if e == DONE or b'"usage":{' in e else event({**orjson.loads(e[6:]), **extra})
            for e in kept
        ]

    def script(received: Received) -> list[Step]:
        asked = "stream_options" in received.json
        return [sse_head(), *(chunk(e) for e in events(usage=asked)), LAST_CHUNK]

    raw = orjson.dumps({**sample.request, "stream": True})
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        direct = await exchange(upstream.url, request(sample.path, raw))
        through = await exchange(meter.url, request(sample.path, raw))
        [row] = await meter.settled(1)
    seen_direct, seen_through = upstream.received
    pair = Pair(direct, through, seen_direct, seen_through, row)
    assert_answers_agree(pair)
    asked = {**pair.seen_direct.json, "stream_options": {"include_usage": True}}
    assert pair.seen_through.json == asked
    added = b'"stream_options":{"include_usage":true},'
    assert pair.seen_through.body.replace(added, b"") == pair.seen_direct.body
    assert row["usage_source"] == "upstream"


OK = b"HTTP/1.1 200 OK\r\n"
PLAIN: dict[str, tuple[str, bytes]] = {
    "HEAD": ("HEAD", OK + b"Content-Length: 17\r\nContent-Type: text/x\r\n\r\n"),
    "HEAD-chunked": ("HEAD", OK + b"Transfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"),
    "HEAD-404": ("HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"),
    "HEAD-bare": ("HEAD", OK + b"X-A: 1\r\n\r\n"),
    "OPTIONS": ("OPTIONS", b"HTTP/1.1 204 No Content\r\nAllow: GET, POST\r\nVary: Origin\r\n\r\n"),
    "OPTIONS-body": ("OPTIONS", OK + b"Allow: GET\r\nContent-Length: 2\r\n\r\nok"),
    "204": ("DELETE", b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
    "304": ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'),
    "304-length": ("GET", b'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: "x"\r\n\r\n'),
    "205": ("POST", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    "307": ("POST", b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
    "no-type": ("GET", OK + b"Content-Length: 2\r\n\r\nok"),
    "no-type-chunked": ("GET", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "empty": ("GET", OK + b"Content-Length: 0\r\n\r\n"),
    "empty-chunked": ("GET", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "no-reason": ("GET", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
    "odd-reason": ("GET", b"HTTP/1.1 299 It is, so to say; fine\r\nContent-Length: 2\r\n\r\nok"),
    "odd-status": ("GET", b"HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\nok"),
    "PUT": ("PUT", OK + b"Content-Length: 2\r\n\r\nok"),
    "PATCH": ("PATCH", OK + b"Content-Length: 2\r\n\r\nok"),
}  # fmt: skip


async def test_plain_http_is_the_same_both_ways(tmp_path: Path) -> None:
    """Methods, statuses and answers without a body, a type or a date are the endpoint's own."""
    async with both_ways(tmp_path, []) as ways:
        for name, (method, answer) in PLAIN.items():
            body = b'{"a":1}' if method in {"POST", "PUT", "PATCH"} else None
            raw = request("/v1/files/%20x?a=%20b&c=d%3D", body, "x-a: 1", method=method)
            with case(name):
                assert_transparent(await next_pair(*ways, [answer], raw, method))


async def test_other_methods_on_metered_paths_pass(tmp_path: Path) -> None:
    """A metered path is a model call for POST only; every other method passes as it is."""
    answer = b"HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n"
    async with both_ways(tmp_path, []) as ways:
        methods = ["HEAD", "OPTIONS", "GET", "PUT", "DELETE"]
        for sample, method in itertools.product(SAMPLES, methods):
            with case((sample.endpoint, method)):
                raw = request(sample.path, method=method)
                pair = await next_pair(*ways, [answer], raw, method)
                assert_transparent(pair)
                assert pair.row["endpoint"] == "other"


ODD_HEADERS = [
    "eTag: weak", "wWw-aUtHeNtIcAtE: Basic", "content-TYPE: text/x; charset=\"utf-8\"",
    "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "X-Empty:", "X-Spaces:   a  b\t c  ", "X-Comma: a,, b",
    "X-Long: " + "l" * 30_000, "X-Utf8: caf\u00e9 \U0001f600", "Via: 1.1 them", "Age: 0", "Vary: *", "Vary: Origin",
    "Link: </x>; rel=next", "Warning: 199 - \"x\"", "X-!#$%&'*+.^_`|~: token",
]  # fmt: skip


async def test_odd_headers_keep_their_letters_and_their_order(tmp_path: Path) -> None:
    """Names in any case, repeated, empty, long and beyond ASCII arrive as they left, both ways."""
    script: list[Step] = [json_answer(b"{}", "200 OK", *ODD_HEADERS)]
    sent = [h for h in ODD_HEADERS if not h.startswith("content")]
    assert_transparent(await pair_of(tmp_path, script, request("/v1/x", b"{}", *sent)))


async def test_hop_by_hop_headers_stay_on_their_hop(tmp_path: Path) -> None:
    """What is meant for one connection, by name or by `Connection`, reaches neither side."""
    hop = ("Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "TE: trailers",
           "Proxy-Connection: keep-alive", "Trailer: X-T", "Upgrade: h2c")  # fmt: skip
    pair = await pair_of(
        tmp_path, [json_answer(b"{}", "200 OK", *hop)], request("/v1/x", b"{}", *hop)
    )
    names = {name.lower() for name, _ in pair.through.headers}
    assert names == {"content-type", "content-length", "x-cab-call-id", "connection"}
    # An upgrade is not taken up, and the connection says that it ends with this answer.
    assert pair.through.values("Connection") == ["close"]
    seen = {name.lower() for name, _ in pair.seen_through.headers}
    assert seen == {"host", "content-length", "authorization"}


async def test_an_answer_that_ends_with_its_connection_comes_in_chunks(tmp_path: Path) -> None:
    """Where only the connection's end tells the end, a client of HTTP/1.1 gets chunks: same bytes."""
    script: list[Step] = [OK + b"Content-Type: text/x\r\n\r\nall of it", Fault.CLOSE]
    pair = await pair_of(tmp_path, script, MODELS, "GET")
    assert pair.direct.framing == "close"
    assert_transparent(pair, framing="chunked")


async def test_trailers_and_extensions_of_chunks_are_dropped(tmp_path: Path) -> None:
    """Chunk extensions and trailers are the hop's own; the bytes of the body are the same."""
    body = b'2;a="b"\r\n{}\r\n0;last\r\nX-Trailer: 1\r\n\r\n'
    script: list[Step] = [OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n" + body]
    async with both_ways(tmp_path, script) as (_, meter):
        through = await exchange(meter.url, MODELS, "GET")
    assert (through.pieces, through.trailers, through.complete) == ([b"{}"], [], True)


async def test_a_request_in_chunks_arrives_whole_and_sized(tmp_path: Path) -> None:
    """A body that comes in chunks goes on with a length, and is metered like any other."""
    body = orjson.dumps(CHAT.request)
    raw = chunked(CHAT.path, body[:7], body[7:8], body[8:], trailers="X-T: 1\r\n")
    async with both_ways(tmp_path, [json_answer(CHAT.answer)]) as (upstream, meter):
        through = await exchange(meter.url, raw)
        [row] = await meter.settled(1)
    [seen] = upstream.received
    assert through.status == 200
    assert (seen.body, seen.header("Content-Length")) == (body, str(len(body)))
    assert (seen.header("Transfer-Encoding"), seen.header("X-T")) == (None, None)
    assert (row["request_bytes"], row["total_tokens"]) == (len(body), 78)


async def test_bodies_that_are_no_json_pass_as_they_are(tmp_path: Path) -> None:
    """Where no key is at stake, a request that cannot be read is the endpoint's to judge."""
    body = b"\x1f\x8b\x08 not \xff json \x00"
    refusal = json_answer(b"\x00\xff", "415 Unsupported")
    async with both_ways(tmp_path, [], key=None) as ways:
        for sample in SAMPLES:
            raw = request(sample.path, body, "Content-Encoding: gzip", "Content-Type: x/y")
            with case(sample.endpoint):
                assert_transparent(await next_pair(*ways, [refusal], raw))


def ends(pieces: list[bytes]) -> set[int]:
    return set(itertools.accumulate(len(piece) for piece in pieces))


async def test_the_ends_of_large_chunks_stay(tmp_path: Path) -> None:
    """A chunk of a megabyte may come in several, but where one ended one ends."""
    large = [event({"choices": [], "padding": "x" * size}) for size in (10, 1_000_000, 70_000, 1)]
    script: list[Step] = [sse_head(), *(chunk(e) for e in [*large, DONE]), LAST_CHUNK]
    pair = await pair_of(tmp_path, script, call(CHAT, stream=True))
    assert pair.through.body == pair.direct.body
    assert ends(pair.direct.pieces) <= ends(pair.through.pieces)
    assert pair.through.complete

"""Requests that two parsers could read differently, on raw sockets: none goes on in two ways, or twice."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from cab.proxy.forwarding.upstream import join
from cab.proxy.http.request_checks import origin_form
from tests.tools.cases import case
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import REAL_KEY, Meter, metered
from tests.tools.raw import Line, chunked, connected, exchange, request
from tests.tools.tap import Sent, Tap, strictly, tapped
from tests.tools.unclear import BODY, CHUNKED, GOOD, HEAD, PATH, UNCLEAR
from tests.tools.upstream import Fault, Received, Script, Step, json_answer, scripted_upstream
from tests.tools.wires import BOTH

WIRES = BOTH

CHAT = BY_ENDPOINT["chat.completions"]
SMUGGLED = request("/v1/smuggled", method="GET")
ANSWER = json_answer(CHAT.answer)


@asynccontextmanager
async def watched(
    folder: Path, *scripts: Script, **settings: Any
) -> AsyncGenerator[tuple[Tap, Meter]]:
    """Run upstream, tap and proxy; on leaving, what went up is one clear request for each row."""
    async with (
        scripted_upstream(*(scripts or ([ANSWER],))) as upstream,
        tapped(upstream.url) as tap,
        metered(tap.url, folder, **settings) as meter,
    ):
        yield tap, meter
        assert await meter.proxy.quiet(20)
        rows = [row for row in meter.ends() if row["end_reason"] != "rejected"]
        stale = sum(row["stale_connections"] for row in rows)
        assert len(rows) == sum(row["upstream_attempts"] for row in rows)
        assert len(tap.requests()) == len(rows) + stale


def one_byte_chunks(body: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


async def test_what_is_unclear_is_refused_and_ends_the_connection(tmp_path: Path) -> None:
    """A request that can be cut in two ways is answered 400, and nothing behind it is read."""
    async with watched(tmp_path) as (tap, meter):
        for calls, name in enumerate(UNCLEAR):
            gone_up = [bytes(each) for each in tap.connections]
            async with connected(meter.url) as line:
                line.send(UNCLEAR[name], SMUGGLED, GOOD)
                answer = await line.answer()
                left = await line.rest()
            with case(name):
                assert (answer.status, left) == (400, b"")
                assert tap.connections == gone_up
                assert len(meter.starts()) == calls
                assert (await exchange(meter.url, GOOD)).status == 200


REFUSED: dict[str, tuple[bytes, int]] = {
    "OPTIONS of the server": (request("*", method="OPTIONS"), 400),
    "CONNECT": (request("evil.example:443", method="CONNECT"), 501),
    "CONNECT with a dot": (request(".evil.example:443", method="CONNECT"), 501),
    "a fragment": (request(f"{PATH}#f", BODY), 400),
    "a fragment behind a query": (request(f"{PATH}?a=b#/c", BODY), 400),
    "a coding inside chunked": (
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "the control API below a key": (request("/cell/k/cab/cells/c/seal", b""), 404),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_clear_and_not_for_the_endpoint_is_refused(name: str, tmp_path: Path) -> None:
    """A request that is no call gets its error, costs nothing, and the next one is served."""
    raw, status = REFUSED[name]
    async with watched(tmp_path) as (tap, meter):
        async with connected(meter.url) as line:
            line.send(raw)
            refused = await line.answer()
            assert tap.connections == []
            assert meter.starts() == []
            line.send(GOOD)
            answer = await line.answer()
        [sent] = tap.requests()
    assert refused.status == status
    assert "error" in orjson.loads(refused.body)
    assert answer.status == 200
    assert sent.body == BODY


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/3.0"])
async def test_other_versions_are_refused(version: str, tmp_path: Path) -> None:
    """A request line in a version that is not spoken here goes nowhere."""
    async with watched(tmp_path) as (tap, meter):
        answer = await exchange(meter.url, request(PATH, BODY, version=version))
        assert tap.connections == []
    assert answer.status in {400, 505}


async def sent_for(folder: Path, raw: bytes) -> Sent:
    """Return what goes to the endpoint for a request that is taken."""
    async with watched(folder) as (tap, meter):
        answer = await exchange(meter.url, raw)
        assert answer.status == 200
        assert answer.body == ANSWER.partition(b"\r\n\r\n")[2]
        [row] = await meter.settled(1)
        [sent] = tap.requests()
    assert row["endpoint"] == "chat.completions"
    assert row["total_tokens"] == 78
    return sent


TAKEN: dict[str, bytes] = {
    "absolute form": request(f"http://other.example{PATH}", BODY),
    "absolute form with a port": request(f"HTTPS://other.example:8443{PATH}", BODY),
    "one chunk": chunked(PATH, BODY),
    "chunks of one byte": HEAD + CHUNKED + b"\r\n" + one_byte_chunks(BODY),
    "chunks with extensions": HEAD + CHUNKED + b'\r\n1b;a="b";c\r\n' + BODY + b"\r\n0;d\r\n\r\n",
    "trailers": chunked(PATH, BODY, trailers="X-T: 1\r\n"),
    "chunked in odd letters": HEAD + b"TRANSFER-encoding: ChunKed\r\n\r\n" + one_byte_chunks(BODY),
    "HTTP/1.0": request(PATH, BODY, version="HTTP/1.0"),
    "empty lines before": b"\r\n\r\n" + GOOD,
    "an upgrade to h2c": request(
        PATH, BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"
    ),
    "hop-by-hop headers": request(PATH, BODY, "Connection: close, X-Hop", "X-Hop: 1", "TE: gzip"),
    "an unknown expectation": request(PATH, BODY, "Expect: 200-ok"),
    "a header that is no UTF-8": GOOD.replace(b"\r\n\r\n", b"\r\nUser-Agent: caf\xe9\r\n\r\n"),
    "a key that is no UTF-8": GOOD.replace(b"\r\n\r\n", b"\r\nx-api-key: caf\xe9\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_clear_goes_on_once_in_the_plainest_form(name: str, tmp_path: Path) -> None:
    """A request goes up once: origin form, one length, the endpoint's own host, no hop's headers."""
    async with asyncio.timeout(20):
        sent = await sent_for(tmp_path, TAKEN[name])
    assert sent.line == f"POST {PATH} HTTP/1.1".encode()
    assert sent.body == BODY
    names = {name.lower() for name, _ in sent.headers}
    assert sent.values(b"Content-Length") == [b"%d" % len(BODY)]
    assert sent.values(b"Host")[0].startswith(b"127.0.0.1:")
    assert not names & {b"connection", b"upgrade", b"http2-settings", b"x-hop", b"te", b"expect"}
    assert not names & {b"transfer-encoding", b"x-t"}
    assert (
        REAL_KEY.encode()
        in sent.values(b"Authorization" if b"x-api" not in TAKEN[name] else b"x-api-key")[0]
    )


@given(
    st.text(alphabet="abcdefgh:/?#@.*%0[]\\ ", max_size=30)
    | st.from_regex(r"(?i)(https?:)?//?[a-z@:.]{0,9}(:[0-9]{0,3})?[/?#@a-z]{0,9}", fullmatch=True)
)
def test_no_target_makes_another_host_of_the_endpoint(target: str) -> None:
    """Whatever a client writes as the target, the request goes to the endpoint, or nowhere."""
    path_qs = origin_form(target)
    if path_qs is not None:
        url = URL(str(join(URL("https://endpoint.example/api/v1"), path_qs)), encoded=True)
        assert (url.host, url.port, url.user) == ("endpoint.example", 443, None)
        assert url.fragment == ""


def numbered(received: Received) -> list[Step]:
    """Answer with the model's name of the request, so that answers can be told apart."""
    return [json_answer({**CHAT.answer, "model": received.json["model"]})]


def asking(model: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    return request(PATH, orjson.dumps({"model": model, "messages": []}), *headers, version=version)


async def served(line: Line) -> str:
    """Return the model that the next answer names."""
    answer = await line.answer()
    assert answer.status == 200
    return str(orjson.loads(answer.body)["model"])


async def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    """Three requests in one segment are three calls, three answers in order, three rows."""
    async with watched(tmp_path, numbered) as (tap, meter):
        async with connected(meter.url) as line:
            line.send(asking("a"), asking("b"), asking("c"))
            got = [await served(line) for _ in range(3)]
        rows = await meter.settled(3)
        sent = [orjson.loads(each.body)["model"] for each in tap.requests()]
    assert got == ["a", "b", "c"]
    assert sorted(row["model_requested"] for row in rows) == sorted(sent) == got


async def test_requests_in_single_bytes(tmp_path: Path) -> None:
    """Two requests that arrive byte by byte are the same two requests."""
    async with watched(tmp_path, numbered) as (_, meter):
        async with connected(meter.url) as line:
            for byte in asking("a") + asking("b"):
                line.send(bytes([byte]))
                await asyncio.sleep(0)
            assert [await served(line), await served(line)] == ["a", "b"]
        await meter.settled(2)


async def test_a_connection_is_used_again_after_an_error(tmp_path: Path) -> None:
    """After a refusal of ours and after an error of the endpoint the connection still serves."""
    error = [json_answer({"error": {"message": "no"}}, "500 Oops")]
    async with watched(tmp_path, error, numbered, max_request_bytes=99) as (_, meter):
        async with connected(meter.url) as line:
            line.send(request(PATH, b"x" * 100))
            assert (await line.answer()).status == 413
            line.send(asking("a"))
            assert (await line.answer()).status == 500
            line.send(asking("b"))
            assert await served(line) == "b"
        await meter.settled(2)


async def test_what_follows_an_upgrade_is_not_read_in_another_way(tmp_path: Path) -> None:
    """An upgrade is not taken up: the answer says that the connection ends, and it does."""
    upgrade = asking("a", "Connection: Upgrade", "Upgrade: h2c")
    async with watched(tmp_path, numbered) as (_, meter):
        async with connected(meter.url) as line:
            line.send(upgrade, asking("b"))
            answer = await line.answer()
            left = await line.rest()
        await meter.settled(1)
    assert orjson.loads(answer.body)["model"] == "a"
    assert answer.values("Connection") == ["close"]
    assert left == b""


async def test_http_1_0_clients_get_their_answer_without_chunks(tmp_path: Path) -> None:
    """A client of HTTP/1.0 gets a stream as plain bytes that end with the connection."""
    script: list[Step] = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        *(b"%x\r\n%s\r\n" % (len(e), e) for e in CHAT.events),
        b"0\r\n\r\n",
    ]
    raw = request(PATH, orjson.dumps(CHAT.stream_request), version="HTTP/1.0")
    async with watched(tmp_path, script) as (_, meter):
        answer = await exchange(meter.url, raw)
        [row] = await meter.settled(1)
    assert answer.framing == "close"
    assert answer.body == b"".join(CHAT.events)
    assert (row["end_reason"], row["total_tokens"]) == ("completed", 78)


async def test_expect_is_answered_only_for_a_call_that_is_taken(tmp_path: Path) -> None:
    """100 comes before the body of a good call; a refused one gets its 401 and no 100."""
    expect = request(PATH, None, "Expect: 100-continue", f"Content-Length: {len(BODY)}")
    async with watched(tmp_path, auth="keys") as (tap, meter):
        async with connected(meter.url) as line:
            line.send(expect)
            refused = await line.answer()
        key = meter.proxy.mint_key("s/a/m/f/t", 60).encode()
        async with connected(meter.url) as line:
            line.send(expect.replace(b"Expect", b"Authorization: Bearer %s\r\nExpect" % key))
            interim = await line.reader.readuntil(b"\r\n\r\n")
            assert tap.connections == []
            line.send(BODY)
            answer = await line.answer()
        await meter.settled(1)
    assert (refused.status, refused.interim) == (401, [])
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.status == 200


async def test_a_body_that_never_comes_whole_is_no_call(tmp_path: Path) -> None:
    """A client that leaves in the middle of its request has made no call: nothing goes up, no row."""
    async with watched(tmp_path) as (tap, meter):
        for raw in (request(PATH, BODY)[:-3], chunked(PATH, BODY)[:-3]):
            async with connected(meter.url) as line:
                line.send(raw)
                await line.writer.drain()
        assert (await exchange(meter.url, GOOD)).status == 200
        await meter.settled(1)
        assert len(tap.requests()) == 1


@pytest.mark.parametrize("bad", [b"zz\r\n", b"-1\r\n", b"2\r\nabcd\r\n", b"2\nab\n"])
async def test_a_body_whose_chunks_break_is_no_call(bad: bytes, tmp_path: Path) -> None:
    """Chunks that go wrong behind a good beginning: nothing goes up, and no call stays behind."""
    async with watched(tmp_path) as (tap, meter):
        async with connected(meter.url) as line:
            line.send(HEAD, CHUNKED, b"\r\n", b"5\r\n%s\r\n" % BODY[:5])
            await line.writer.drain()
            assert (await exchange(meter.url, GOOD)).status == 200
            line.send(bad, SMUGGLED)
            await line.writer.drain()
            assert (await exchange(meter.url, GOOD)).status == 200
        await meter.settled(2)
        assert [sent.body for sent in tap.requests()] == [BODY, BODY]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"])
async def test_no_request_is_sent_twice_on_a_new_connection(method: str, tmp_path: Path) -> None:
    """Where the endpoint closes a kept connection, a request goes once more, and the record says so."""
    body = BODY if method in {"PUT", "POST"} else None
    other = request("/v1/files/1", body, method=method)
    async with watched(tmp_path, [ANSWER], [Fault.CLOSE], paths=["/v1/files"]) as (tap, meter):
        assert (await exchange(meter.url, GOOD)).status == 200
        broken = await exchange(meter.url, other, method)
        _, row = await meter.settled(2)
        assert len(tap.connections) == 2
        assert len(tap.requests()) == 3
    assert (broken.status, row["upstream_attempts"], row["stale_connections"]) == (502, 1, 1)


async def test_an_answer_too_many_is_given_to_nobody(tmp_path: Path) -> None:
    """Bytes behind an answer never become the answer of the next call."""
    poison = json_answer({**CHAT.answer, "model": "poison"})
    async with watched(tmp_path, [ANSWER + poison], numbered) as (_, meter):
        async with connected(meter.url) as line:
            line.send(asking("a"))
            assert await served(line) == CHAT.answer["model"]
            line.send(asking("b"))
            assert await served(line) == "b"
        rows = await meter.settled(2)
    assert [row["model_served"] for row in rows] == [CHAT.answer["model"], "b"]


async def test_a_cells_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    """A cell that no record could name is refused; the ledger takes the next call as ever."""
    raw = GOOD.replace(b"\r\n\r\n", b"\r\nX-Cab-Cell: caf\xe9\r\n\r\n", 1)
    async with watched(tmp_path, open_attribution=True) as (tap, meter):
        assert (await exchange(meter.url, raw)).status == 401
        assert tap.connections == []
        assert (await exchange(meter.url, GOOD)).status == 200
        await meter.settled(1)


@pytest.mark.parametrize(
    "raw",
    [
        GOOD[:-1],
        GOOD.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
        GOOD.replace(b"Content-Length", b"Content-Length: 1\r\nContent-Length"),
        GOOD.replace(b"\r\n", b"\n", 1),
        GOOD.replace(b"Host: ", b"Host : "),
        GOOD.replace(b"Host: localhost\r\n", b""),
        GOOD + b"x",
    ],
)
def test_the_tap_sees_what_is_unclear(raw: bytes) -> None:
    """The check that everything above rests on fails for requests that are not clear."""
    with pytest.raises(AssertionError):
        strictly(raw)
    assert [sent.body for sent in strictly(GOOD + GOOD)] == [BODY, BODY]

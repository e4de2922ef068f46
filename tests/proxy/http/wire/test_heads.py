"""Heads that are read here mean to aiohttp's parser what they mean here, however they are mutated."""

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.http.headers import is_passed_on
from cab.proxy.http.wire.answer_head import AnswerHead, KnownAnswers, read_answer_head
from cab.proxy.http.wire.request_head import MAX_HEAD_BYTES, KnownHeads

REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAuthorization: Bearer k\r\n"
    b"Content-Type: application/json\r\nContent-Length: 12\r\nUser-Agent: OpenAI/Python 3.57.0\r\n\r\n"
)
WITH_IDS = REQUEST.replace(b"User-Agent", b"X-Id: 1\r\nTraceparent: 00-1\r\nUser-Agent")
ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 12\r\nx-request-id: req_1\r\n\r\n"
)
LINES = st.sampled_from(
    [
        *(b"Content-Length: 12", b"content-length:12", b"Content-Length: 0", b"Content-Length: +1"),
        *(
            b"Content-Length: 1_0",
            b"Content-Length: 1, 1",
            b"Content-Length : 5",
            b"Content-Length:",
        ),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"TE: trailers"),
        *(b"Connection: close", b"Connection: keep-alive, x", b"Upgrade: websocket", b" folded"),
        *(
            b"Expect: 100-continue",
            b"X: \x00",
            b"X: \x80",
            b"X\xe9: 1",
            b"X:\tv\t",
            b": v",
            b"no colon",
        ),
        *(
            b"Host: other",
            b"Content-Encoding: gzip",
            b"Keep-Alive: timeout=5",
            b"X:  v  w  ",
            b"\tX: v",
        ),
    ]
)


def mutations(head: bytes) -> st.SearchStrategy[bytes]:
    """Return heads: lines put in, taken out, repeated, and single bytes replaced."""
    lines = head[:-4].split(b"\r\n")

    def mutated(
        parts: tuple[list[tuple[int, bytes]], list[int], list[tuple[int, bytes]], bytes],
    ) -> bytes:
        added, removed, replaced, end = parts
        new = [line for at, line in enumerate(lines) if at == 0 or at not in removed]
        for at, line in added:
            new.insert(1 + at % len(new), line)
        data = bytearray(end.join(new) + end + end)
        for at, byte in replaced:
            data[at % len(data) : at % len(data) + 1] = byte
        return bytes(data)

    places = st.integers(0, 400)
    bytes_ = st.sampled_from(
        [b"", b"\n", b"\r", b" ", b"\t", b"\x00", b"\x7f", b"\xff", b":", b"A", b"#"]
    )
    return st.tuples(
        st.lists(st.tuples(places, LINES), max_size=3),
        st.lists(st.integers(1, 6), max_size=2),
        st.lists(st.tuples(places, bytes_), max_size=2),
        st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]),
    ).map(mutated)


def parsed(parser: Callable[..., Any], data: bytes, **options: Any) -> Any:
    """Return the one message in some bytes as aiohttp reads it, None if it reads none, or several."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        made = parser(Mock(spec=BaseProtocol), loop, 2**16, **options)
        try:
            messages, upgraded, _ = made.feed_data(data)
        except HttpProcessingError:
            return None
    return messages[0] if len(messages) == 1 and not upgraded else None


@settings(max_examples=250, deadline=None)
@given(mutations(REQUEST))
def test_requests(data: bytes) -> None:
    """Method, target, headers, the length of the body, and whether the connection stays, are the same."""
    end = data.find(b"\r\n\r\n") + 4
    read = KnownHeads(is_passed_on).read(data[:end]) if end > 3 else None
    if read is None:
        return
    head, length = read
    seen = parsed(HttpRequestParser, data[:end] + b"x" * length)
    assert seen is not None
    message, payload = seen
    assert (message.method, message.path, message.version) == ("POST", head.raw_path, (1, 1))
    sent = [each for each in message.raw_headers if each[0].lower() != b"content-length"]
    assert sent == list(head.raw_headers)
    odd = message.should_close, message.chunked, message.upgrade, message.compression
    assert not any(odd)
    assert payload.is_eof()
    assert b"".join(getattr(payload, "_buffer", ())) == b"x" * length
    assert head.shape.match(data[:end]) == (head, length, end)


VALUES = st.one_of(
    st.sampled_from(
        [b"", b"1", b" 2\t", b"a\rb", b"a\nb", b"\x00", b"\xff", b"\r\nHost: h", b"+1"]
    ),
    st.binary(max_size=12),
)


MORE = st.sampled_from(
    [
        b"X:  v  w  ",
        b"Accept:",
        b"x-id: 2",
        b"X-Key: s",
        b"x: \x80",
        b"X-Cab-Cell: c",
        b"Te: x",
        b" f",
    ]
)


@settings(max_examples=250, deadline=None)
@given(st.lists(MORE, max_size=2), st.lists(st.tuples(st.integers(1, 10), VALUES), max_size=3))
def test_a_head_of_a_known_shape_is_read_as_any_other(
    more: list[bytes], changed: list[tuple[int, bytes]]
) -> None:
    """Whatever values it has in place of those of the head before it, on the same connection or another."""
    data = WITH_IDS.replace(b"\r\n\r\n", b"\r\n".join([b"", *more, b"", b""]))
    heads, end = KnownHeads(is_passed_on), len(data)
    read = heads.read(data)
    if read is None:
        return
    # It has come twice now, and is known by its bytes.
    assert read[0].shape.match(data) == (*read, end)
    lines = data[:end].split(b"\r\n")
    for at, value in changed:
        name, colon, _ = lines[at % len(lines)].partition(b":")
        lines[at % len(lines)] = name + colon + value
    following = b"\r\n".join(lines)
    match = read[0].shape.match(following + b"body")
    end = following.find(b"\r\n\r\n") + 4
    alone = KnownHeads(is_passed_on).read(following[:end]) if end > 3 else None
    for found in (match[:2] if match else None, heads.read(following[:end]) if alone else None):
        if found is not None:
            assert alone is not None
            assert found[1] == alone[1]
            assert found[0].raw_headers == alone[0].raw_headers
            assert found[0].raw_path == alone[0].raw_path
            assert found[0].shape.bare.raw_headers == alone[0].shape.bare.raw_headers
    assert match is None or match[2] == end


@settings(max_examples=250, deadline=None)
@given(mutations(ANSWER), st.booleans())
def test_answers(data: bytes, closes: bool) -> None:
    """So are status, reason, headers and framing of an answer."""
    data = data.replace(b"200", b"204", 1) if closes else data
    end = data.find(b"\r\n\r\n") + 4
    head = read_answer_head(data[:end]) if end > 3 else None
    if head is None:
        return
    body = b"0\r\n\r\n" if head.is_chunked else b"x" * (head.content_length or 0)
    seen = parsed(
        HttpResponseParser, data[:end] + (body if head.has_body else b""), read_until_eof=True
    )
    assert seen is not None
    message, _ = seen
    assert (message.code, message.reason.encode("utf-8", "surrogateescape")) == (
        head.status,
        head.reason,
    )
    assert [(n, v) for n, v in message.raw_headers] == list(head.raw_headers)
    assert message.chunked == head.is_chunked
    if head.keeps_alive:
        assert not message.should_close


def facts_of(head: AnswerHead) -> tuple[object, ...]:
    framing = head.has_body, head.content_length, head.is_chunked, head.keeps_alive
    read_here = head.content_type, head.content_encoding
    return head.status, head.reason, head.raw_headers, *read_here, *framing


MORE_OF_ANSWERS = st.sampled_from(
    [
        b"Set-Cookie:  v  w  ",
        b"Date:",
        b"x-id: 2",
        b"Connection: close",
        b"x: \x80",
        b"Upgrade: h",
        b" f",
    ]
)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(MORE_OF_ANSWERS, max_size=2),
    st.lists(st.tuples(st.integers(1, 6), VALUES), max_size=3),
)
def test_an_answers_head_of_a_known_shape_is_read_as_any_other(
    more: list[bytes], changed: list[tuple[int, bytes]]
) -> None:
    """Whatever values it has in place of those of the head before it."""
    data = ANSWER.replace(b"\r\n\r\n", b"\r\n".join([b"", *more, b"", b""]))
    answers = KnownAnswers()
    first = answers.read(data)
    lines = data.split(b"\r\n")
    for at, value in changed:
        name, colon, _ = lines[at % len(lines)].partition(b":")
        lines[at % len(lines)] = name + colon + value
    following = b"\r\n".join(lines)
    match = answers.match(following + b"body")
    end = following.find(b"\r\n\r\n") + 4
    alone = read_answer_head(following[:end]) if end > 3 else None
    if match is None:
        # What has the same names and is ordinary is known by its shape.
        assert first is None or alone is None or first.shape.pieces != alone.shape.pieces
        return
    assert alone is not None
    assert match[1] == end
    assert facts_of(match[0]) == facts_of(alone)


def test_answers_of_two_forms_are_known_in_turn() -> None:
    """Few shapes are remembered, and of these the last two are found without a look at each line."""
    answers, stream = (
        KnownAnswers(),
        ANSWER.replace(b"Content-Length: 12", b"Transfer-Encoding: chunked"),
    )
    assert answers.match(ANSWER) is None
    whole, events = answers.read(ANSWER), answers.read(stream)
    assert whole is not None
    assert events is not None
    for data, head in ((ANSWER, whole), (stream, events)) * 2:
        match = answers.match(data.replace(b"req_1", b"req_2"))
        assert match is not None
        assert match[0].shape is head.shape
        assert match[0].values[-1] == b"req_2"
    for number in range(100):
        assert answers.read(ANSWER.replace(b"OK", b"%d" % number)) is not None
    assert answers.match(ANSWER) is None


@pytest.mark.parametrize(
    "head",
    [
        REQUEST.replace(b"POST", b"GET"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REQUEST.replace(b"POST /", b"POST http://h/"),
        REQUEST.replace(b"completions", b"completions#x"),
        REQUEST.replace(b"Host", b"Hosts"),
        REQUEST[:-2] + b"".join(b"X-%d: v\r\n" % n for n in range(100)) + b"\r\n",
    ],
    ids=["GET", "1.0", "absolute", "fragment", "no host", "many headers"],
)
def test_what_is_not_ordinary(head: bytes) -> None:
    """These are aiohttp's."""
    heads = KnownHeads(is_passed_on)
    assert heads.read(REQUEST) is not None
    assert heads.read(head) is None


def test_what_a_shape_leaves_open() -> None:
    """A head that differs in anything but its length, and what is only passed on, has another shape."""
    heads = KnownHeads(is_passed_on)
    with_id = REQUEST.replace(b"User-Agent", b"X-Request-Id: 1\r\nUser-Agent")
    read = heads.read(with_id)
    assert read is not None
    match, head = read[0].shape.match, read[0]
    longer = with_id.replace(b"Length: 12", b"Length" + b": 40000")
    assert match(longer + b"body") == (head, 40000, len(longer))
    another = match(with_id.replace(b"Id: 1", b"Id: 2"))
    assert another is not None
    assert (another[0].shape, another[0].values) == (head.shape, (b"2",))
    assert heads.read(with_id.replace(b"Id: 1", b"Id: 2")) == (another[0], 12)
    for old, new in [
        (b"Bearer k", b"Bearer l"),
        (b"Length: 12", b"Length" + b": -1"),
        (b"Length: 12", b"Length" + b": 12, 12"),
        (b"Length: 12", b"Length: 12 "),
        (b"3.57", b"3.58"),
        (b"X-Request-Id", b"x-request-id"),
        (b"Id: 1", b"Id: 1\r\nX-Request-Id: 2"),
        (b"Id: 1", b"Id: " + b"1" * MAX_HEAD_BYTES),
        (b"\r\n\r\n", b"\r\n"),
    ]:
        assert match(with_id.replace(old, new)) is None, new


def test_few_shapes_are_remembered() -> None:
    """However many heads come."""
    heads = KnownHeads(is_passed_on)
    first = heads.read(REQUEST)
    assert first is not None
    for number in range(300):
        assert heads.read(REQUEST.replace(b"Bearer k", b"Bearer %d" % number)) is not None
    again = heads.read(REQUEST)
    assert again is not None
    assert again[0].shape is not first[0].shape

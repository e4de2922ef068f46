"""Heads that differ only in what is passed on share what follows from them, and nothing else."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from cab.proxy.auth import cell_keys
from cab.proxy.auth.attribution import Identifier, Target
from cab.proxy.auth.request_secrets import sent_secrets
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.config import Route
from cab.proxy.errors import BadKey
from cab.proxy.forwarding.ordinary.head import ShapeFacts, Way, answer_bytes
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.http.browser_guard import BrowserGuard
from cab.proxy.http.error_responses import RequestFailed
from cab.proxy.http.headers import is_passed_on
from cab.proxy.http.wire.answer_head import KnownAnswers, read_answer_head
from cab.proxy.http.wire.request_bytes import request_head_bytes
from cab.proxy.http.wire.request_head import KnownHeads, RequestHead
from cab.proxy.meter import dialect_for
from cab.proxy.redaction import Redactor
from tests.tools.proxy import REAL_KEY, metered
from tests.tools.raw import connected, request
from tests.tools.upstream import json_answer, scripted_upstream

TARGET = Target("/v1/chat/completions", None)
SIGNING_KEY = new_signing_key()
RING, NOW_S = parse_signing_keys(SIGNING_KEY), int(time.time())
Headers = CIMultiDictProxy[str]
ANSWER = json_answer(
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
)
NAMES = st.sampled_from(
    [
        *(
            "X-Request-Id",
            "Traceparent",
            "tracestate",
            "X-Stainless-Retry-Count",
            "x-title",
            "Accept",
        ),
        *("Authorization", "x-api-key", "X-Goog-Api-Key", "api-key", "Cookie", "X-Session-Token"),
        *("X-Cab-Cell", "Origin", "User-Agent", "Accept-Encoding", "X-Original-Url", "X-Cab-Other"),
        *("Content-Type", "Connection", "X-Http-Method-Override", "Idempotency-Key", "X-Signature"),
    ]
)
TEXTS = st.sampled_from(
    [
        "1",
        "",
        "sk-9f8e7d6c5b4a39281706",
        "Bearer k1k2k3k4k5k6",
        "keep-alive",
        cell_keys.mint(RING, "a/b/c/d/e", 600, NOW_S),
        "http://evil",
        "\xe9",
        "c",
    ]
)
HEADERS = st.lists(st.tuples(NAMES, TEXTS), max_size=8)


@pytest.fixture(autouse=True)
def wire() -> None:
    """Run each test once: aiohttp's wire has no such heads."""


def head_of(headers: list[tuple[str, str]], heads: KnownHeads) -> RequestHead | None:
    """Return a request's head as it is read from its bytes."""
    lines = [f"{name}: {value}" for name, value in headers]
    read = heads.read(request(TARGET.path_qs, b"", *lines))
    return read[0] if read else None


def all_of(head: RequestHead) -> Headers:
    pairs = ((name.decode(), value.decode()) for name, value in head.raw_headers)
    return CIMultiDictProxy(CIMultiDict(pairs))


def verdict(follows: Callable[[Headers], object], headers: Headers) -> object:
    """Return what follows from headers, or why they are refused."""
    try:
        return follows(headers)
    except (BadKey, RequestFailed) as error:
        return str(error)


@given(HEADERS)
@settings(max_examples=100, deadline=None)
def test_nothing_follows_from_what_is_only_passed_on(headers: list[tuple[str, str]]) -> None:
    """Without it the caller, the secrets and the guard's verdict are the same."""
    head = head_of(headers, KnownHeads(is_passed_on))
    if head is None:
        return
    bare, full = head.shape.bare.headers, all_of(head)
    who = Identifier(RING, Revocations(Path("none")), False, True, "default")
    for follows in (
        lambda headers: who.identify(headers, TARGET, NOW_S),
        lambda headers: sent_secrets(headers, TARGET),
        BrowserGuard([], []).check,
        lambda headers: [headers.getall(name, []) for name in ("Content-Type", "User-Agent")],
    ):
        assert verdict(follows, bare) == verdict(follows, full)


@pytest.mark.parametrize("key", [None, "sk-real"])
async def test_a_head_goes_on_as_if_no_other_had_come_before(key: str | None) -> None:
    """Whatever the route adds, replaces or takes out, each call has its own values."""
    route = Route(models=["*"], upstream="http://h/v1", headers={"x-title": "ours", "X-New": "1"})
    upstream, heads = Upstream(route, key, 1, 1), KnownHeads(is_passed_on)
    assert upstream.pool is not None
    pool, dialect = upstream.pool, dialect_for("POST", TARGET.path_qs, has_body=True)
    ways: dict[tuple[int, bool], Way] = {}
    learned = 0

    @given(HEADERS, st.lists(TEXTS, min_size=8, max_size=8), st.booleans())
    @settings(max_examples=100, deadline=None)
    def check(headers: list[tuple[str, str]], values: list[str], keep: bool) -> None:
        nonlocal learned
        changed = [
            (name, value if is_passed_on(name.lower()) else old)
            for (name, old), value in zip(headers, values, strict=False)
        ]
        for sent in (headers, changed, headers):
            head = head_of(sent, heads)
            if head is None:
                return
            place = id(head.shape), keep
            if place not in ways:
                facts = ShapeFacts(head.shape.bare, TARGET, dialect, Redactor(), "")
                ways[place] = Way(upstream, pool, facts, keep_credentials=keep)
            way = ways[place]
            learned += way.is_learned
            _, alone = way.request(head)
            assert way.head_bytes(head) == request_head_bytes("POST", way.url, alone.items())

    check()
    await upstream.close()
    assert learned > 100


ANSWERED = st.sampled_from(
    [
        *("Date", "X-Request-Id", "Set-Cookie", "Content-Type", "Keep-Alive", "Connection"),
        *("Location", "Link", "x-cab-call-id", "Content-Length", "Transfer-Encoding", "TE"),
    ]
)
ANSWERED_TEXTS = st.sampled_from(["1", "", "keep-alive", "http://H:1/x", "chunked", "\xe9", "12"])


@given(
    st.lists(st.tuples(ANSWERED, ANSWERED_TEXTS), max_size=6),
    st.lists(ANSWERED_TEXTS, min_size=6, max_size=6),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_the_head_of_an_answer_goes_on_as_if_no_other_had_come_before(
    headers: list[tuple[str, str]], values: list[str], is_sized: bool
) -> None:
    """Whatever headers it has: those between the endpoint and us stay here, and so does its address."""
    answers = KnownAnswers()
    for sent in (
        headers,
        [(name, value) for (name, _), value in zip(headers, values, strict=False)],
    ):
        lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in sent), "", ""]
        data = "\r\n".join(lines).encode()
        known = answers.match(data)
        head = known[0] if known else answers.read(data)
        alone = read_answer_head(data)
        if head is None or alone is None:
            continue
        made = answer_bytes(head, b"//h:1", "c", is_sized=is_sized)
        assert made == answer_bytes(alone, b"//h:1", "c", is_sized=is_sized)
        names = {name.lower() for name, _ in sent}
        told = any("//h:1" in value.lower() for name, value in sent)
        if told or names & {"location", "link", "x-cab-call-id", "te"}:
            assert made is None
            continue
        left = {
            "connection",
            "keep-alive",
            "transfer-encoding",
            *([] if is_sized else ["content-length"]),
        }
        passed = [f"{name}: {value}" for name, value in sent if name.lower() not in left]
        framing = [] if is_sized else ["Transfer-Encoding: chunked"]
        lines = ["HTTP/1.1 200 OK", *passed, "x-cab-call-id: c", *framing, "", ""]
        assert made == "\r\n".join(lines).encode()


async def test_calls_of_two_cells_on_one_connection(tmp_path: Path) -> None:
    """Each is its own cell's, with its own ids and the endpoint's key; a revoked key is refused, whatever the id."""
    state = tmp_path / "state"
    keys = {cell: cell_keys.mint(RING, cell, 600, int(time.time())) for cell in ("one", "two")}
    options: dict[str, Any] = {"auth": "keys", "signing_key": SIGNING_KEY, "state": state}
    async with (
        scripted_upstream([ANSWER]) as upstream,
        metered(upstream.url, tmp_path, **options) as meter,
        connected(meter.url) as line,
    ):
        numbers = itertools.count()

        async def status_of(cell: str) -> int:
            number = str(next(numbers))
            ids = {"X-Request-Id": number, "traceparent": f"00-{number}", "X-Cell-Name": cell}
            lines = [f"Authorization: Bearer {keys[cell]}", *(f"{n}: {v}" for n, v in ids.items())]
            line.send(request(TARGET.path_qs, b'{"model":"m"}', *lines))
            status = (await line.answer()).status
            got = upstream.received[-1]
            if status == 200:
                assert {name: got.header(name) for name in ids} == ids
                assert got.header("Authorization") == f"Bearer {REAL_KEY}"
            return status

        cells = ["one", "two", "one", "one", "two", "two"]
        assert [await status_of(cell) for cell in cells] == [200] * 6
        assert [end["cell_id"] for end in await meter.settled(6)] == cells
        Revocations(state).revoke_cell("one", int(time.time()))
        assert await status_of("two") == 200
        assert await status_of("one") == 401

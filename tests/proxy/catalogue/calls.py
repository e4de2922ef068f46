"""Faults 18 to 22: attempts, errors, time, paths and headers."""

import asyncio
from typing import Any

import orjson

from cab.proxy.accounting.limits import KeyLimits
from tests.proxy.catalogue.table import World, case
from tests.tools.client import Seen, post
from tests.tools.proxy import raw_exchange
from tests.tools.upstream import Fault, Received, Step, chunk, json_answer, sse_head

WHOLE = "the whole answer, byte for byte"
ERROR = "an error in the dialect's shape"


def error_code(world: World, seen: Seen) -> object:
    """Return what the SDK of the dialect reads as the kind of an error."""
    error = orjson.loads(seen.body)["error"]
    match world.sample.endpoint:
        case "messages":
            return error["type"]
        case "gemini.generateContent":
            return error["status"]
        case _:
            return error["code"]


@case("18", "answered requests that call themselves retries: each is a call", client=WHOLE, rows=5,
      end_reason="completed")  # fmt: skip
async def _said_to_be_a_retry(world: World) -> Seen:
    async with world.running(world.whole()) as meter:
        for _ in range(5):
            seen = await world.post(meter, "x-stainless-retry-count: 1")
    assert [(row["attempt"], row["retry_of"]) for row in world.rows] == [(1, None)] * 5
    return seen


@case("18", "the same request again after a 500: attempt 2 without any header", client=WHOLE, rows=2,
      tokens="see the case")  # fmt: skip
async def _repeated_after_an_error(world: World) -> Seen:
    broken = [json_answer({"error": {"message": "x"}}, "500 Internal Server Error")]
    async with world.running(broken, world.whole()) as meter:
        await world.post(meter)
        seen = await world.post(meter)
    assert [row["end_reason"] for row in world.rows] == ["upstream_error", "completed"]
    assert [row["attempt"] for row in world.rows] == [1, 2]
    return seen


@case(
    "18", "identical upstream ids: every row is kept", client=WHOLE, rows=3, end_reason="completed"
)
async def _identical_ids(world: World) -> Seen:
    async with world.running(world.whole()) as meter:
        for _ in range(3):
            seen = await world.post(meter)
    assert len({row["call_id"] for row in world.rows}) == 3
    assert [row["attempt"] for row in world.rows] == [1, 1, 1]
    return seen


async def refused(world: World, status: str, *headers: str) -> Seen:
    error = {"error": {"message": "slow down", "type": "some_error", "code": "some_code"}}
    answer = json_answer(error, status, *headers)
    seen = await world.call([answer])
    assert seen.body == answer.partition(b"\r\n\r\n")[2]
    assert seen.status == int(status[:3]) == world.rows[0]["status"]
    assert world.rows[0]["error"]["message"] == "slow down"
    return seen


@case("19", "429 with Retry-After", client="the error and its headers, untouched", tokens="nothing written",
      end_reason="upstream_error", status=429)  # fmt: skip
async def _rate_limited(world: World) -> Seen:
    seen = await refused(world, "429 Too Many Requests", "Retry-After: 2", "retry-after-ms: 2000")
    assert (seen.header("Retry-After"), seen.header("retry-after-ms")) == ("2", "2000")
    return seen


@case(
    "19",
    "400",
    client="the error, untouched",
    tokens="nothing written",
    end_reason="upstream_error",
)
async def _bad_request(world: World) -> Seen:
    return await refused(world, "400 Bad Request")


def failed_at_work(status: str, title: str) -> None:
    """Add an error that can come after the model has generated all of its answer."""

    async def run(world: World) -> Seen:
        return await refused(world, status)

    run.__name__ = f"failed_{status[:3]}"
    end: dict[str, Any] = {"end_reason": "upstream_error", "status": int(status[:3])}
    case("19", title, client="the error, untouched", tokens="at most", **end)(run)


failed_at_work("500 Internal Server Error", "500, as after an answer that was generated")
failed_at_work("502 Bad Gateway", "502 of a gateway")
failed_at_work("503 Service Unavailable", "503")
failed_at_work("504 Gateway Timeout", "504 of a gateway")
failed_at_work("408 Request Timeout", "408: the endpoint gave up on a call that it had begun")
failed_at_work("499 Client Closed Request", "499: a gateway gave up on a call that it had begun")


@case("19", "the endpoint refuses the connection", client=ERROR + ", 502", tokens="nothing written",
      end_reason="upstream_unreachable", status=502)  # fmt: skip
async def _connection_refused(world: World) -> Seen:
    return await failed(world, 502, upstream="http://127.0.0.1:9")


@case("19", "the endpoint's name is unknown", client=ERROR + ", 502", tokens="nothing written",
      end_reason="upstream_unreachable", status=502)  # fmt: skip
async def _unknown_name(world: World) -> Seen:
    return await failed(world, 502, upstream="http://no-such-host.invalid")


@case("19", "the endpoint does not use TLS", client=ERROR + ", 502", tokens="nothing written",
      end_reason="upstream_unreachable", status=502)  # fmt: skip
async def _tls_failure(world: World) -> Seen:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await failed(world, 502, upstream=f"https://127.0.0.1:{port}")


@case("19", "the endpoint resets before any answer", client=ERROR + ", 502", tokens="at most",
      end_reason="upstream_cut", status=502)  # fmt: skip
async def _reset_before_the_head(world: World) -> Seen:
    return await failed(world, 502, [Fault.RESET])


@case("19", "the endpoint closes before any answer", client=ERROR + ", 502", tokens="at most",
      end_reason="upstream_cut", status=502)  # fmt: skip
async def _close_before_the_head(world: World) -> Seen:
    return await failed(world, 502, [Fault.CLOSE])


@case("19", "the endpoint answers with something else than HTTP", client=ERROR + ", 502", tokens="at most",
      end_reason="upstream_cut", status=502)  # fmt: skip
async def _no_http(world: World) -> Seen:
    return await failed(world, 502, [b"220 smtp ready\r\n\r\n", Fault.CLOSE])


@case("19", "the head never comes", client=ERROR + ", 504", tokens="at most", end_reason="timeout",
      status=504)  # fmt: skip
async def _no_head(world: World) -> Seen:
    return await failed(world, 504, [asyncio.Event()], headers_timeout_s=0.1)


@case(
    "19",
    "the body stalls",
    client="a broken body",
    tokens="see the case",
    end_reason="timeout",
    status=200,
)
async def _stalled_body(world: World) -> Seen:
    if world.stream:
        script: list[Step] = [sse_head(), chunk(world.sample.texts[0]), asyncio.Event()]
    else:
        script = [world.whole()[0][:-10], asyncio.Event()]  # type: ignore[index]
    seen = await world.call(script, body_timeout_s=0.1)
    assert not seen.complete
    return seen


async def failed(
    world: World, status: int, script: list[Step] | None = None, **settings: Any
) -> Seen:
    """Run a call that gets no answer from the endpoint."""
    seen = await world.call(script or [], **settings)
    assert seen.status == status
    assert error_code(world, seen)
    assert seen.header("x-cab-call-id") == world.rows[0]["call_id"]
    return seen


@case("20", "a request of 100 MB", client=WHOLE, streaming=(False,), end_reason="completed",
      dialects=("chat.completions",))  # fmt: skip
async def _large_request(world: World) -> Seen:
    body = {**world.sample.request, "padding": "x" * 100_000_000}
    async with world.running(world.whole()) as meter:
        seen = await post(meter.url, world.sample.path, body)
    assert len(world.upstream.received[0].body) > 100_000_000
    assert seen.body == world.expected_body
    return seen


@case("20", "a request over the limit costs nothing upstream", client=ERROR + ", 413", streaming=(False,), rows=0,
      tokens="none")  # fmt: skip
async def _over_the_limit(world: World) -> Seen:
    seen = await world.call(world.whole(), max_request_bytes=10)
    assert seen.status == 413
    assert error_code(world, seen)
    assert world.upstream.received == []
    return seen


@case(
    "21",
    "`Expect: 100-continue`",
    client="100, then the whole answer",
    streaming=(False,),
    end_reason="completed",
)
async def _expect_continue(world: World) -> Seen:
    body = orjson.dumps(world.sample.request)
    target = world.sample.target(stream=False)
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\n"
    async with world.running(world.whole()) as meter:
        raw = await raw_exchange(
            meter.url, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
    assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert raw.endswith(world.expected_body)
    assert world.upstream.received[0].header("Expect") is None
    return Seen()


@case("21", "an answer that repeats its `Content-Length`", client=WHOLE, streaming=(False,),
      end_reason="completed")  # fmt: skip
async def _repeated_length(world: World) -> Seen:
    seen = await world.call(world.whole(f"Content-Length: {len(world.expected_body)}"))
    assert seen.body == world.expected_body
    assert seen.header("Content-Length") == str(len(world.expected_body))
    return seen


@case("21", "HEAD and OPTIONS pass", client="the endpoint's answers", streaming=(False,), rows=2, tokens="none",
      dialects=("chat.completions",), endpoint="other", end_reason="completed")  # fmt: skip
async def _head_and_options(world: World) -> Seen:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nX-Api: yes\r\n\r\n"
    options = b"HTTP/1.1 204 No Content\r\nAllow: POST\r\n\r\n"
    async with world.running([head], [options]) as meter:
        first = await post(meter.url, "/api/hello", b"", method="HEAD")
        second = await post(meter.url, world.sample.path, b"", method="OPTIONS")
    assert (first.status, first.header("X-Api"), first.header("Content-Length")) == (
        200,
        "yes",
        "17",
    )
    assert (second.status, second.header("Allow")) == (204, "POST")
    return second


@case("21", "a redirect below the endpoint's base is followed", client=WHOLE, upstream_attempts=2,
      end_reason="completed")  # fmt: skip
async def _redirected(world: World) -> Seen:
    def away(request: Received) -> list[bytes]:
        folder, _, name = request.target.rpartition("/")
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {folder}//{name}\r\n"
        return [f"{head}Content-Length: 0\r\n\r\n".encode()]

    async with world.running(away, world.whole()) as meter:
        seen = await world.post(meter)
    first, second = world.upstream.received
    assert (seen.status, seen.body) == (200, world.expected_body)
    assert (first.method, first.body) == (second.method, second.body)
    return seen


@case("21", "a redirect to another address is followed by nobody", client=ERROR + ", without the address",
      tokens="none", status=502, end_reason="upstream_error")  # fmt: skip
async def _redirected_elsewhere(world: World) -> Seen:
    head = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://evil.example/v1/x\r\n"
    seen = await world.call([head + b"Content-Length: 0\r\n\r\n"])
    assert (seen.status, seen.header("Location")) == (502, None)
    assert error_code(world, seen)
    assert world.rows[0]["error"]["type"] == "upstream_redirect"
    return seen


@case("21", "a path that the endpoint's key is not used for", client=ERROR + ", x-should-retry: false",
      streaming=(False,), tokens="none", dialects=("chat.completions",), endpoint="other", status=404,
      end_reason="rejected", upstream_attempts=0)  # fmt: skip
async def _path_not_allowed(world: World) -> Seen:
    async with world.running(world.whole()) as meter:
        seen = await post(meter.url, "/v1/organization/admin_api_keys", {})
    assert (seen.status, error_code(world, seen)) == (404, "path_not_allowed")
    assert world.upstream.received == []
    return seen


@case("21b", "a model that the cell's key does not allow", client=ERROR + ", x-should-retry: false", rows=1,
      tokens="nothing written", status=404, end_reason="rejected", upstream_attempts=0)  # fmt: skip
async def _model_not_allowed(world: World) -> Seen:
    async with world.running(world.whole()) as meter:
        key = meter.proxy.mint_key("s/a/m/f/t", 60, KeyLimits(models=("other-*",)))
        seen = await world.post(meter, f"Authorization: Bearer {key}")
    assert (seen.status, seen.header("x-should-retry")) == (404, "false")
    assert error_code(world, seen)
    assert world.rows[0]["error"]["type"] == "model_not_allowed"
    return seen


@case("21b", "a sealed cell: 409 that SDKs do not retry", client=ERROR + ", x-should-retry: false", streaming=(False,),
      rows=2, tokens="see the case")  # fmt: skip
async def _sealed(world: World) -> Seen:
    async with world.running(world.whole(), cell="s/a/m/f/t") as meter:
        await world.post(meter)
        key = f"Authorization: Bearer {meter.proxy.mint_keys('s/a/m/f/t', 60).seal}"
        await post(meter.url, "/cab/cells/s%2Fa%2Fm%2Ff%2Ft/seal", b"", key)
        seen = await world.post(meter)
    assert (seen.status, seen.header("x-should-retry")) == (409, "false")
    assert error_code(world, seen)
    check_refused(world, "cell_sealed", 409)
    return seen


@case("21b", "a limit of the cell's key is reached: 400 (Anthropic 403) that SDKs and agents do not retry",
      client=ERROR + ", x-should-retry: false", rows=2, tokens="see the case")  # fmt: skip
async def _limit_reached(world: World) -> Seen:
    limits = KeyLimits(max_calls=1)
    async with world.running(world.whole()) as meter:
        key = f"Authorization: Bearer {meter.proxy.mint_key('s/a/m/f/t', 60, limits)}"
        await world.post(meter, key)
        seen = await world.post(meter, key)
    status, code = {
        "messages": (403, "permission_error"),
        "gemini.generateContent": (400, "INVALID_ARGUMENT"),
    }.get(world.sample.endpoint, (400, "cab_limit_reached"))
    assert (seen.status, error_code(world, seen)) == (status, code)
    assert (seen.header("x-should-retry"), seen.header("Retry-After")) == ("false", None)
    check_refused(world, "cab_limit_reached", status)
    return seen


def check_refused(world: World, code: str, status: int) -> None:
    """Check that the first call was made, and that the second is a row but cost nothing."""
    made, refused = world.rows
    assert (made["end_reason"], made["seq"]) == ("completed", 1)
    assert (refused["end_reason"], refused["seq"]) == ("rejected", None)
    assert (refused["status"], refused["error"]["type"]) == (status, code)
    assert (refused["usage_source"], refused["prompt_tokens"]) == ("none", None)
    assert refused["upstream_attempts"] == 0
    assert len(world.upstream.received) == 1


@case("22", "headers: hop-by-hop dropped, duplicates kept, credentials replaced, Host right", client=WHOLE,
      end_reason="completed")  # fmt: skip
async def _headers(world: World) -> Seen:
    sent = ("Connection: keep-alive, X-Hop", "X-Hop: 1", "TE: trailers", "X-Two: a", "X-Two: b")
    async with world.running(world.whole("X-Two: c", "X-Two: d", "Keep-Alive: timeout=5")) as meter:
        seen = await world.post(meter, *sent, "Authorization: Bearer agents-own")
    request: Received = world.upstream.received[0]
    names = [name.lower() for name, _ in request.headers]
    assert [v for k, v in request.headers if k == "X-Two"] == ["a", "b"]
    assert not {"x-hop", "te", "keep-alive"} & set(names)
    assert request.header("Host") == world.upstream.url.removeprefix("http://")
    assert "agents-own" not in str(request.headers)
    assert [v for k, v in seen.headers if k == "X-Two"] == ["c", "d"]
    assert seen.header("Keep-Alive") is None
    return seen

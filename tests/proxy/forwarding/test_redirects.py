"""Redirects and addresses of an endpoint: nothing that it answers leads a client past the meter."""

from pathlib import Path

import openai
import orjson
import pytest
from yarl import URL

from cab.proxy.forwarding.addresses import Addresses
from cab.proxy.http.headers import Headers
from tests.tools.cases import case
from tests.tools.client import Seen, post
from tests.tools.proxy import REAL_KEY, Meter, chat_body, metered
from tests.tools.upstream import Received, json_answer, scripted_upstream

CELL = "s/aider/m/f/t"
CHAT = "/v1/chat/completions"
ANSWER = json_answer(
    {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "tea"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
)


def redirect(location: str, status: str = "307 Temporary Redirect", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Location: {location}", "Content-Length: 0", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize(
    "form",
    ["{url}/team/v1/chat/completions?a=b", "/team/v1/chat/completions?a=b", "../completions?a=b"],
)
async def test_a_redirect_below_the_base_is_followed_and_metered(
    form: str, status: str, tmp_path: Path
) -> None:
    """The call is sent again with its body and key; it is one call of two attempts."""

    def script(request: Received) -> list[bytes]:
        slashed = request.target.endswith("/")
        return [redirect(form.format(url=endpoint.url), status) if slashed else ANSWER]

    async with (
        scripted_upstream(script) as endpoint,
        metered(f"{endpoint.url}/team/v1", tmp_path, cell=CELL) as meter,
    ):
        seen = await post(meter.url, f"{CHAT}/", chat_body())
        [row] = await meter.settled(1)
    first, second = endpoint.received
    assert (seen.status, row["end_reason"], row["total_tokens"]) == (200, "completed", 11)
    assert (row["upstream_attempts"], row["status"]) == (2, 200)
    assert second.target == "/team/v1/chat/completions?a=b"
    assert (second.method, second.body) == (first.method, first.body)
    assert second.header("Authorization") == f"Bearer {REAL_KEY}"


ELSEWHERE = [
    "http://evil.example/v1/chat/completions",
    "//evil.example/v1/chat/completions",
    "/\\evil.example/v1/chat/completions",
    "{url}/other-team/v1/chat/completions",
    "{url}/team/v1/../../other-team/v1/chat/completions",
    "{url}/team/cab/cells/x/seal",
    "{url}/team/cell/x/v1/chat/completions",
    "http://127.0.0.1:9/team/v1/chat/completions",
    "ftp://evil.example/x",
    "http://[/x",
    "",
    "{url}/team/v1/chat/completions",
]


@pytest.mark.parametrize("status", ["301 Moved", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_elsewhere_is_followed_by_nobody(status: str, tmp_path: Path) -> None:
    """The client gets a 502 without the address, and the key stays where it belongs."""
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(f"{endpoint.url}/team/v1", tmp_path) as meter,
    ):
        for calls, location in enumerate(ELSEWHERE, 1):
            endpoint.scripts = [[redirect(location.format(url=endpoint.url), status)]]
            seen = await post(meter.url, CHAT, chat_body())
            row = (await meter.settled(calls))[-1]
            with case(location):
                assert (seen.status, seen.header("Location")) == (502, None)
                error = row["end_reason"], row["error"]["type"]
                assert error == ("upstream_error", "upstream_redirect")
                assert (row["upstream_attempts"], row["completion_tokens"]) == (1, None)
                assert seen.header("x-should-retry") == "false"
                assert "evil" not in seen.body.decode()
                assert len(endpoint.received) == calls


async def test_redirects_without_end_are_given_up(tmp_path: Path) -> None:
    """A few hops are followed, each is an attempt."""

    def script(request: Received) -> list[bytes]:
        return [redirect(f"{request.target}/")]

    async with scripted_upstream(script) as endpoint, metered(endpoint.url, tmp_path) as meter:
        seen = await post(meter.url, CHAT, chat_body())
        [row] = await meter.settled(1)
    assert (seen.status, row["upstream_attempts"], len(endpoint.received)) == (502, 4, 4)


@pytest.mark.parametrize(
    ("status", "path"),
    [
        ("303 See Other", "/v1/responses/r-1"),
        ("307 Temporary", "/v1/completions"),
        ("301 Moved", CHAT + "/"),
    ],
)
async def test_other_redirects_come_back_to_the_proxy(
    status: str, path: str, tmp_path: Path
) -> None:
    """What is no repetition of the call goes to the client, with the proxy's address as it wrote it."""
    async with scripted_upstream([ANSWER]) as endpoint:
        endpoint.scripts = [[redirect(f"{endpoint.url}{path}", status)]]
        async with metered(endpoint.url, tmp_path, auth="keys") as meter:
            key = meter.proxy.mint_key(CELL, 60)
            plain = await post(meter.url, CHAT, chat_body(), f"Authorization: Bearer {key}")
            in_path = await post(meter.url, f"/cell/{key}{CHAT}", chat_body(x=1))
            await meter.settled(2)
    assert plain.status == in_path.status == int(status[:3])
    assert plain.header("Location") == f"http://localhost{path}"
    assert in_path.header("Location") == f"http://localhost/cell/{key}{path}"


async def test_an_sdk_stays_with_the_meter(tmp_path: Path) -> None:
    """OpenAI's SDK, which follows redirects, gets its answer through the proxy, and it is counted."""

    def script(request: Received) -> list[bytes]:
        whole = [redirect(f"{endpoint.url}{request.target[:-1]}")]
        return whole if request.target.endswith("/") else [ANSWER]

    async with scripted_upstream(script) as endpoint, metered(endpoint.url, tmp_path) as meter:
        async with openai.AsyncOpenAI(api_key="any", base_url=f"{meter.url}/v1") as sdk:
            answer = await sdk.post("/chat/completions/", body=chat_body(), cast_to=object)
        [row] = await meter.settled(1)
    assert isinstance(answer, dict)
    assert (row["total_tokens"], len(endpoint.received)) == (11, 2)


async def listed(meter: Meter, prefix: str = "") -> Seen:
    return await post(meter.url, f"{prefix}/v1/models", b"", method="GET")


async def test_no_header_hands_out_the_endpoints_address(tmp_path: Path) -> None:
    """Addresses below the base are the proxy's, others of the endpoint are gone, bodies stay."""
    async with scripted_upstream([ANSWER]) as endpoint:
        host = endpoint.url.removeprefix("http://")
        body = orjson.dumps({"next": f"{endpoint.url}/api/v1/models?after=1"})
        lines = [
            "HTTP/1.1 200 OK",
            f"Content-Location: {endpoint.url}/api/v1/models/m",
            f"Operation-Location: {endpoint.url}/api/v1/operations/1?api-version=2",
            f"Azure-AsyncOperation: {endpoint.url}/api/operations/2",
            f'Link: <{endpoint.url}/api/v1/models?after=1>; rel="next", </api/v1/x>; rel="up"',
            f"Refresh: 5; url={endpoint.url}/api/v1/models",
            f"X-Status-URL: {endpoint.url.upper()}/api/v1/status",
            f"Location: {endpoint.url}/internal/admin",
            f"Content-Security-Policy: connect-src https://a.example http://{host}",
            'X-Docs: <https://docs.example/v1>; rel="help"',
            f"Content-Length: {len(body)}",
        ]
        endpoint.scripts = [["\r\n".join([*lines, "", ""]).encode() + body]]
        async with metered(f"{endpoint.url}/api/v1", tmp_path) as meter:
            seen = await listed(meter)
    own = "http://localhost"
    assert seen.header("Content-Location") == f"{own}/v1/models/m"
    assert seen.header("Operation-Location") == f"{own}/v1/operations/1?api-version=2"
    assert seen.header("Azure-AsyncOperation") == f"{own}/operations/2"
    assert seen.header("Link") == f'<{own}/v1/models?after=1>; rel="next", </v1/x>; rel="up"'
    assert seen.header("Refresh") == f"5; url={own}/v1/models"
    assert seen.header("X-Status-URL") == f"{own}/v1/status"
    assert seen.header("Location") is None
    assert seen.header("Content-Security-Policy") is None
    assert seen.header("X-Docs") == '<https://docs.example/v1>; rel="help"'
    assert host not in str(seen.headers)
    assert seen.body == body


def test_a_host_behind_tls_is_the_same_by_either_scheme() -> None:
    """Servers behind a terminator of TLS write http; a secret that the proxy added is left out."""
    addresses = Addresses(URL("https://h.example/v1"), "http://localhost/cell/k", {"code"})
    at = URL("https://h.example/v1/x?code=secret")
    headers = Headers(
        [("Location", "http://h.example/v1/y?code=secret&a=b"), ("X-A", "https://h.example:8/v1")]
    )
    assert list(addresses.hidden(at, headers).items()) == [
        ("Location", "http://localhost/cell/k/v1/y?a=b")
    ]

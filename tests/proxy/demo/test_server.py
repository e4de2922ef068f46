import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import orjson
import pytest
import pytest_asyncio
from yarl import URL

from cab.adapters.tasks.loader import list_tasks
from cab.proxy.demo import Demo, running_demo
from cab.proxy.demo.call import THREAD_BYTES
from cab.proxy.errors import BadConfig
from tests.proxy.demo.conversation import function, user
from tests.tools.chat_counts import count_chat_completion, count_chat_prompt

PROMPT = list_tasks()[0].prompt
BASH = function("bash", ["command"], command="string")
LONG = "word " * THREAD_BYTES

REQUESTS: list[dict[str, Any]] = [
    {"model": "m", "messages": [user("hi")]},
    {"model": "m", "messages": [user(PROMPT)], "tools": [BASH]},
    {"model": "m", "messages": [user(PROMPT)], "n": 3},
    {"model": "m", "messages": [{"role": "system", "content": "Write a title."}, user(LONG)]},
]


@pytest_asyncio.fixture
async def demo() -> AsyncIterator[Demo]:
    async with running_demo() as running:
        yield running


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(http: aiohttp.ClientSession, demo: Demo, body: Any) -> tuple[int, bytes]:
    async with http.post(f"{demo.url}/v1/chat/completions", data=orjson.dumps(body)) as response:
        return response.status, await response.read()


def streamed(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("body", REQUESTS, ids=["hello", "tools", "choices", "long"])
async def test_usage_is_what_the_messages_cost(
    body: dict[str, Any], demo: Demo, http: aiohttp.ClientSession
) -> None:
    """The usage is the count of the messages received and sent, and the account says the same."""
    status, data = await post(http, demo, body)
    answer = orjson.loads(data)
    written = sum(count_chat_completion(choice["message"]) for choice in answer["choices"])
    read = count_chat_prompt(body["messages"], body.get("tools"))
    usage = answer["usage"]
    assert status == 200
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (read, written)
    account = demo.account()
    assert (account["calls"], account["prompt_tokens"], account["completion_tokens"]) == (
        1,
        read,
        written,
    )


@pytest.mark.parametrize("body", REQUESTS, ids=["hello", "tools", "choices", "long"])
async def test_streams_cost_what_whole_answers_cost(
    body: dict[str, Any], demo: Demo, http: aiohttp.ClientSession
) -> None:
    """The same request has the same usage, streamed and not."""
    _, whole = await post(http, demo, body)
    _, stream = await post(http, demo, streamed(body))
    last = stream.removesuffix(b"data: [DONE]\n\n").rstrip().split(b"\n\n")[-1]
    usage = orjson.loads(last.removeprefix(b"data: "))["usage"]
    assert usage == orjson.loads(whole)["usage"]


async def test_the_same_request_gets_the_same_bytes(http: aiohttp.ClientSession) -> None:
    """Two servers answer the same requests in the same bytes, streamed and not."""
    bodies = [*REQUESTS, *map(streamed, REQUESTS)]
    async with running_demo() as one, running_demo() as other:
        for body in bodies:
            assert await post(http, one, body) == await post(http, other, body)


async def test_repeated_requests_differ_in_their_id_alone(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    """A request that comes twice gets an answer with an id of its own, else the same."""
    first, second = [orjson.loads((await post(http, demo, REQUESTS[0]))[1]) for _ in range(2)]
    assert first.pop("id") != second.pop("id")
    assert first == second


async def test_concurrent_calls_are_all_in_the_account(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    """Calls that overlap are all counted, and the sums are those of the answers."""
    answers = await asyncio.gather(*(post(http, demo, body) for body in REQUESTS * 5))
    usages = [orjson.loads(data)["usage"] for _, data in answers]
    account = demo.account()
    assert account["calls"] == len(usages)
    for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert account[key] == sum(usage[key] for usage in usages)


async def test_the_account_is_served_too(demo: Demo, http: aiohttp.ClientSession) -> None:
    """`GET /demo/account` says what `Demo.account` says, one entry for each call."""
    await post(http, demo, REQUESTS[0])
    async with http.get(f"{demo.url}/demo/account") as response:
        account = await response.json()
    assert account == demo.account()
    assert account["by_call"][0] == {
        "id": account["by_call"][0]["id"],
        "model": "m",
        "stream": False,
        "prompt_tokens": account["prompt_tokens"],
        "completion_tokens": account["completion_tokens"],
        "finish_reason": "stop",
        "key_fingerprint": None,
        "endpoint": "chat.completions",
        "path": "/v1/chat/completions",
        "status": 200,
        "outcome": "served",
    }


async def test_the_openai_sdk_understands_it(demo: Demo) -> None:
    """The openai SDK reads answers, streams with usage, tool calls and the list of models."""
    async with openai.AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="sk-any") as client:
        whole = await client.chat.completions.create(model="m", messages=[user("hi")])  # type: ignore[list-item]
        stream = await client.chat.completions.create(  # type: ignore[call-overload]
            model="m",
            messages=[user(PROMPT)],
            tools=[BASH],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        models = [model.id async for model in client.models.list()]
    assert whole.usage is not None
    assert (
        whole.usage.total_tokens + chunks[-1].usage.total_tokens == demo.account()["total_tokens"]
    )
    assert any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)
    assert models == ["demo"]


async def test_any_key_is_taken_and_only_its_fingerprint_kept(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    """The account shows the hash of the key that a call came with, and not the key."""
    key = "sk-cell-7"
    headers = {"Authorization": f"Bearer {key}"}
    async with http.post(
        f"{demo.url}/v1/chat/completions", json=REQUESTS[0], headers=headers
    ) as response:
        assert response.status == 200
    served = demo.account()["by_call"][0]
    assert served["key_fingerprint"] == hashlib.sha256(key.encode()).hexdigest()[:12]
    assert key not in repr(demo.account())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "/v1/chat/completions", b"{", 400, None),
        ("POST", "/v1/chat/completions", b'{"model": "m"}', 400, "messages"),
        ("GET", "/v1/chat/completions", b"", 405, None),
        ("POST", "/v1/completions", b"{}", 404, None),
        ("GET", "/", b"", 404, None),
    ],
)
async def test_mistakes_get_openais_error_shape(
    method: str,
    path: str,
    body: bytes,
    status: int,
    param: str | None,
    demo: Demo,
    http: aiohttp.ClientSession,
) -> None:
    """What an endpoint would reject is rejected in OpenAI's shape, and is not a call."""
    async with http.request(method, demo.url + path, data=body) as response:
        error = (await response.json())["error"]
        assert response.status == status
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert demo.account()["calls"] == 0


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v1/responses", b"{}", 400),
        ("/v1/messages", b'{"model": "m"}', 400),
        ("/v1/messages/count_tokens", b"[]", 400),
        ("/v1/messages/batches", b"{}", 404),
        ("/v1beta/models/m:generateContent", b"{}", 400),
        ("/v1beta/models/m:embedContent", b"{}", 404),
    ],
)
async def test_mistakes_get_the_shape_of_their_dialect(
    path: str, sent: bytes, status: int, demo: Demo, http: aiohttp.ClientSession
) -> None:
    """Anthropic's and Gemini's paths answer in their own error shapes, responses in OpenAI's."""
    async with http.post(demo.url + path, data=sent) as response:
        body = await response.json()
        assert response.status == status
    error = body["error"]
    if path.startswith("/v1/messages"):
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        assert (body["type"], error["type"]) == ("error", kind)
    elif path.startswith("/v1beta"):
        assert (error["code"], set(error)) == (status, {"code", "message", "status"})
    else:
        assert (error["type"], error["param"]) == ("invalid_request_error", "model")


async def test_claude_codes_greeting_and_token_count(
    demo: Demo, http: aiohttp.ClientSession
) -> None:
    """`HEAD /api/hello` is answered, and tokens are counted without a call in the account."""
    body = {"model": "m", "messages": [user("hello world")]}
    async with http.head(f"{demo.url}/api/hello") as response:
        assert response.status == 200
    async with http.post(f"{demo.url}/v1/messages/count_tokens?beta=true", json=body) as response:
        counted = (await response.json())["input_tokens"]
    assert demo.account()["calls"] == 0
    async with http.post(
        f"{demo.url}/v1/messages?beta=true", json={**body, "max_tokens": 9}
    ) as response:
        assert (await response.json())["usage"]["input_tokens"] == counted


@pytest.mark.parametrize("model", ["m", "stepfun-ai/step", "stepfun-ai%2Fstep", "a:b"])
@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_gemini_models_are_in_the_path(
    model: str, version: str, demo: Demo, http: aiohttp.ClientSession
) -> None:
    """Any name of a model works, slashes and colons included; without `alt=sse` a stream is an array."""
    url = URL(f"{demo.url}/{version}/models/{model}:streamGenerateContent", encoded=True)
    async with http.post(url, json={"contents": [{"parts": [{"text": "hi"}]}]}) as response:
        assert response.content_type == "application/json"
        *_, last = await response.json()
    name = model.replace("%2F", "/")
    assert last["modelVersion"] == demo.account()["by_call"][0]["model"] == name


@pytest.mark.parametrize("place", ["Authorization", "x-api-key", "x-goog-api-key", "?key="])
async def test_keys_are_found_in_every_place(
    place: str, demo: Demo, http: aiohttp.ClientSession
) -> None:
    """Each dialect's place for the key is looked at, and the path in the account holds none."""
    path = "/v1beta/models/m:generateContent"
    query = "?key=sk-7" if place == "?key=" else ""
    headers = {} if query else {place: "Bearer sk-7" if place == "Authorization" else "sk-7"}
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    async with http.post(demo.url + path + query, json=body, headers=headers) as response:
        assert response.status == 200
    [row] = demo.account()["by_call"]
    assert row["key_fingerprint"] == hashlib.sha256(b"sk-7").hexdigest()[:12]
    assert row["path"] == path


async def test_bodies_over_the_limit_are_rejected(
    monkeypatch: pytest.MonkeyPatch, http: aiohttp.ClientSession
) -> None:
    """A body over the limit gets 413 in OpenAI's shape."""
    monkeypatch.setattr("cab.proxy.demo.server.MAX_BODY_BYTES", 1000)
    async with running_demo() as small:
        status, data = await post(http, small, REQUESTS[3])
    assert status == 413
    assert orjson.loads(data)["error"]["message"] == "the body is over 1000 bytes"


async def test_a_client_that_leaves_is_still_charged(demo: Demo) -> None:
    """A client that closes before it has read the answer leaves a call in the account."""
    body = orjson.dumps({**streamed(REQUESTS[1]), "n": 16})
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await reader.readline()
    writer.transport.abort()
    assert demo.account()["calls"] == 1


async def test_a_port_in_use_is_one_clear_line(demo: Demo) -> None:
    """A port that is taken is an error that names the port and the fix."""
    port = int(demo.url.rsplit(":", 1)[1])
    with pytest.raises(BadConfig, match=rf"127\.0\.0\.1:{port}: the port is in use; give another"):
        async with running_demo(port=port):
            pass


async def test_a_host_that_is_not_ours_is_one_clear_line() -> None:
    """An address that cannot be listened on is an error that names it."""
    with pytest.raises(BadConfig, match=r"cannot listen on 192\.0\.2\.1:0: .*change host or port"):
        async with running_demo(host="192.0.2.1"):
            pass


async def test_ipv6_addresses_are_in_brackets(http: aiohttp.ClientSession) -> None:
    """The URL of a server on IPv6 can be used as it is."""
    async with running_demo(host="::1") as demo:
        assert (await post(http, demo, REQUESTS[0]))[0] == 200

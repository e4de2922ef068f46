"""What the endpoint's key is used for, and which models a cell's key allows."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.accounting.limits import KeyLimits
from tests.tools.cases import case
from tests.tools.client import post
from tests.tools.proxy import REAL_KEY, Meter, chat_body, metered
from tests.tools.raw import exchange, request
from tests.tools.upstream import Received, json_answer, scripted_upstream

CELL = "s/aider/m/f/t"
CHAT = "/v1/chat/completions"
ANSWER = json_answer(
    {
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "tea"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
)


def answered(request: Received) -> list[bytes]:
    head, end, _ = ANSWER.partition(b"\r\n\r\n")
    return [head + end if request.method == "HEAD" else ANSWER]


LOOKED_UP = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1//embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/models"),
    ("GET", "/v1beta/models/gemini-3"),
    ("GET", "/v1/models/meta%2Fllama-3"),
    ("POST", "/v1/messages/count_tokens"),
    ("POST", "/v1beta/models/g:countTokens"),
    ("POST", "/v1/responses/input_tokens"),
    ("GET", "/v1/responses/resp_1?stream=true"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("HEAD", "/api/hello"),
    ("OPTIONS", "/v1/chat/completions"),
    ("OPTIONS", "/v1/models"),
]


async def test_what_agents_call_passes_with_the_key(tmp_path: Path) -> None:
    """Metered paths and what clients look up beside them reach the endpoint as they came."""
    async with (
        scripted_upstream(answered) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys") as meter,
    ):
        for calls, (method, path) in enumerate(LOOKED_UP, 1):
            body = orjson.dumps(chat_body()) if method == "POST" else b""
            seen = await post(meter.url, path, body, bearer(meter), method=method)
            await meter.settled(calls)
            with case((method, path)):
                assert len(endpoint.received) == calls
                sent = endpoint.received[-1]
                assert (seen.status, sent.method, sent.target) == (200, method, path)
                assert sent.header("Authorization") == f"Bearer {REAL_KEY}"


OTHERS = [
    ("POST", "/v1/organization/admin_api_keys", b"{}"),
    ("GET", "/v1/organization/users", b""),
    ("POST", "/key/generate", b"{}"),
    ("DELETE", "/v1/models/ft:mine", b""),
    ("DELETE", "/v1/responses/resp_of_another_cell", b""),
    ("POST", "/v1/models", b"{}"),
    ("GET", "/v1/models", b"{}"),
    ("HEAD", "/key/generate", b"{}"),
    ("GET", CHAT, b""),
    ("GET", "/v1/files", b""),
    ("POST", "/v1/videos", b"{}"),
    ("OPTIONS", "/v1/organization/admin_api_keys", b""),
    ("PUT", "/v1/responses/resp_1/cancel", b""),
]


async def test_other_paths_are_refused_with_the_key(tmp_path: Path) -> None:
    """They get a 404 that names the setting, and a record; the endpoint does not see them."""
    async with (
        scripted_upstream(answered) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys") as meter,
    ):
        for calls, (method, path, body) in enumerate(OTHERS, 1):
            seen = await post(meter.url, path, body, bearer(meter), method=method)
            row = (await meter.settled(calls))[-1]
            error, refused = row["error"], (row["end_reason"], row["error"]["type"])
            with case((method, path)):
                assert (seen.status, endpoint.received) == (404, [])
                assert (*refused, row["cell_id"]) == ("rejected", "path_not_allowed", CELL)
                assert "`paths`" in error["message"]


async def test_they_pass_without_a_held_key(tmp_path: Path) -> None:
    """Where the client pays with its own key, its endpoint decides."""
    own = "Authorization: Bearer own"
    async with (
        scripted_upstream(answered) as endpoint,
        metered(endpoint.url, tmp_path, key=None) as meter,
    ):
        for calls, (method, path, body) in enumerate(OTHERS, 1):
            seen = await post(meter.url, path, body, own, "X-HTTP-Method: PUT", method=method)
            await meter.settled(calls)
            with case((method, path)):
                assert len(endpoint.received) == calls
                sent = endpoint.received[-1]
                assert (seen.status, sent.method, sent.target) == (200, method, path)
                kept = sent.header("Authorization"), sent.header("X-HTTP-Method")
                assert kept == ("Bearer own", "PUT")


async def test_the_setting_opens_paths_for_all_endpoints_or_one(tmp_path: Path) -> None:
    """A pattern's `*` stands for one part; what is below an open path is open too."""
    async with scripted_upstream(answered) as default, scripted_upstream(answered) as other:
        route: dict[str, Any] = {
            "models": ["tts-*"],
            "upstream": other.url,
            "key_env": "OTHER_KEY",
            "paths": ["/v1/videos/*"],
        }
        settings: dict[str, Any] = {"routes": [route], "paths": ["/v1/files"]}
        async with metered(
            default.url, tmp_path, route_keys={"OTHER_KEY": "sk-other"}, **settings
        ) as meter:
            statuses = [
                (await post(meter.url, path, body, method=method)).status
                for method, path, body in [
                    ("GET", "/v1//files/f-1/content", b""),
                    ("POST", "/v1/videos/new", {"model": "tts-1"}),
                    ("POST", "/v1/videos/new", {"model": "m"}),
                    ("POST", "/v1/files", {"model": "tts-1"}),
                    ("POST", "/v1/videos", {"model": "tts-1"}),
                ]
            ]
            await meter.settled(5)
    assert statuses == [200, 200, 404, 200, 404]
    assert [r.target for r in default.received] == ["/v1//files/f-1/content"]
    assert [r.target for r in other.received] == ["/v1/videos/new", "/v1/files"]


async def test_a_key_in_a_routes_own_headers_is_held_too(tmp_path: Path) -> None:
    """Whatever header or parameter carries it: the client's own key is not what is spent."""
    async with scripted_upstream(answered) as endpoint:
        routes = [{"models": ["*"], "upstream": endpoint.url, "headers": {"X-Auth-Token": "real"}}]
        async with metered(endpoint.url, tmp_path, key=None, routes=routes) as meter:
            seen = await post(meter.url, "/key/generate", {})
            await meter.settled(1)
    assert (seen.status, endpoint.received) == (404, [])


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("anthropic-version: 2023-06-01", lambda error: error["error"]["type"]),
        ("x-goog-api-key: any", lambda error: error["error"]["status"]),
        ("Authorization: Bearer any", lambda error: error["error"]["code"]),
    ],
)
async def test_the_refusal_has_the_clients_shape(header: str, read: Any, tmp_path: Path) -> None:
    """An SDK reads the refusal of an unknown path as it reads its own endpoint's."""
    async with scripted_upstream(answered) as endpoint, metered(endpoint.url, tmp_path) as meter:
        seen = await post(meter.url, "/api/event_logging/batch", {}, header)
    kinds = {"not_found_error", "NOT_FOUND", "path_not_allowed"}
    assert seen.status == 404
    assert read(orjson.loads(seen.body)) in kinds


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT"])
@pytest.mark.parametrize("key", [REAL_KEY, None])
async def test_methods_that_echo_or_tunnel_are_refused(
    key: str | None, method: str, tmp_path: Path
) -> None:
    """Nothing is forwarded, so that no key comes back in an echo."""
    async with (
        scripted_upstream(answered) as endpoint,
        metered(endpoint.url, tmp_path, key=key) as meter,
    ):
        seen = await post(meter.url, CHAT, b"", method=method)
        tunnel = await exchange(meter.url, request("evil.example:443", method=method), method)
    # What the parser of HTTP does not know it answers with a 400.
    assert {seen.status, tunnel.status} <= {400, 501}
    assert endpoint.received == []


async def test_headers_that_name_another_path_are_not_passed_with_the_key(tmp_path: Path) -> None:
    """Some servers serve the path or the method of such a header instead of the request's."""
    async with scripted_upstream(answered) as endpoint, metered(endpoint.url, tmp_path) as meter:
        others = ("X-Original-URL: /admin", "X-Rewrite-Url: /admin", "X-HTTP-Method-Override: PUT")
        await post(meter.url, CHAT, chat_body(), *others)
    names = {name.lower() for name, _ in endpoint.received[0].headers}
    assert not names & {"x-original-url", "x-rewrite-url", "x-http-method-override"}


@pytest.mark.parametrize(
    "target",
    ["//evil.example/v1/models", "http://evil.example/v1/models", "http://evil.example//models"],
)
async def test_no_target_leaves_the_endpoints_base(target: str, tmp_path: Path) -> None:
    """What looks like another host is a path below the endpoint's base, and nothing else."""
    async with (
        scripted_upstream(answered) as endpoint,
        metered(f"{endpoint.url}/team-a/v1", tmp_path) as meter,
    ):
        await post(meter.url, target, b"", method="GET")
    [sent] = endpoint.received
    assert sent.target.startswith("/team-a/")
    assert sent.header("Host") == endpoint.url.removeprefix("http://")


@pytest.mark.parametrize(
    "model", ["..", ".", "../../admin", "a/../b", "..\\x", "..;x", "%2e%2e", "a\u0000b"]
)
async def test_a_models_name_cannot_change_the_path_it_is_put_into(
    model: str, tmp_path: Path
) -> None:
    """A template's `{model}` is one part of the path, whatever the model is called."""
    async with scripted_upstream(answered) as endpoint:
        routes = [
            {"models": ["*"], "upstream": endpoint.url, "path": "/openai/deployments/{model}"}
        ]
        async with metered(endpoint.url, tmp_path, routes=routes) as meter:
            seen = await post(meter.url, CHAT, chat_body(model=model))
            [row] = await meter.settled(1)
    assert (seen.status, row["error"]["type"]) == (400, "unclear_model")
    assert endpoint.received == []


def bearer(meter: Meter, **limits: Any) -> str:
    return f"Authorization: Bearer {meter.proxy.mint_key(CELL, 60, KeyLimits(**limits))}"


CHOSEN: list[tuple[str, dict[str, Any], int]] = [
    (CHAT, {"model": "gpt-5-mini"}, 200),
    (CHAT, {"model": "org/small"}, 200),
    (CHAT, {"model": "o3"}, 404),
    (CHAT, {"model": "GPT-5"}, 404),
    (CHAT, {}, 404),
    (CHAT, {"model": "gpt-5", "models": ["gpt-5-mini", "o3"]}, 404),
    (CHAT, {"model": "gpt-5", "fallbacks": [{"model": "o3"}]}, 404),
    ("/v1/messages", {"model": "o3"}, 404),
    ("/v1beta/models/gpt-5:generateContent", {}, 200),
    ("/v1beta/models/o3:generateContent", {"model": "gpt-5"}, 404),
    ("/openai/deployments/gpt-5/chat/completions", {"model": "o3"}, 404),
    ("/v1/audio/speech", {"model": "o3"}, 404),
    ("/v1/audio/speech", {}, 404),
    ("/v1/messages/count_tokens", {"model": "gpt-5"}, 200),
]


async def test_a_key_with_models_is_for_these(tmp_path: Path) -> None:
    """Any other model gets a 404 that agents do not repeat, and a record, wherever it is named."""
    async with (
        scripted_upstream(answered) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys", paths=["/v1/audio"]) as meter,
    ):
        key = bearer(meter, models=("gpt-5*", "org/*"))
        for calls, (path, body, status) in enumerate(CHOSEN, 1):
            endpoint.received.clear()
            seen = await post(meter.url, path, body, key)
            row = (await meter.settled(calls))[-1]
            with case((path, body)):
                assert seen.status == status
                assert len(endpoint.received) == (status == 200)
                if status == 404:
                    refused = row["end_reason"], row["error"]["type"]
                    assert refused == ("rejected", "model_not_allowed")
                    assert seen.header("x-should-retry") == "false"
                    assert "gpt-5*, org/*" in row["error"]["message"]


async def test_a_key_with_models_may_look_up_all(tmp_path: Path) -> None:
    """Looking something up names no model and costs nothing."""
    async with (
        scripted_upstream(answered) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys") as meter,
    ):
        seen = await post(meter.url, "/v1/models", b"", bearer(meter, models=("a",)), method="GET")
    assert seen.status == 200

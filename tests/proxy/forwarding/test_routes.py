"""Several endpoints, chosen by the model's name, each with its own key, headers and ways."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from hypothesis import assume, given
from hypothesis import strategies as st
from yarl import URL

from cab.proxy.app import running_proxy
from cab.proxy.auth.cell_keys import key_id_of
from cab.proxy.config import Route, parse_settings
from cab.proxy.errors import BadConfig
from cab.proxy.forwarding.upstream import Upstream, join, mapped
from cab.proxy.workers.supervisor import running_workers
from tests.tools.client import post
from tests.tools.proxy import chat_body, metered
from tests.tools.upstream import json_answer, scripted_upstream

ANSWER = json_answer(
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
)


@pytest.mark.parametrize(
    ("base", "target", "url"),
    [
        ("http://h:8000", "/v1/chat/completions", "http://h:8000/v1/chat/completions"),
        ("http://h:8000/", "/v1/models", "http://h:8000/v1/models"),
        ("http://h:8000/v1", "/v1/chat/completions", "http://h:8000/v1/chat/completions"),
        ("http://h:8000/v1/", "/v1/models?x=%20y", "http://h:8000/v1/models?x=%20y"),
        ("https://h/api/v1", "/v1/chat/completions", "https://h/api/v1/chat/completions"),
        (
            "https://h",
            "/v1beta/models/m:generateContent",
            "https://h/v1beta/models/m:generateContent",
        ),
        (
            "https://h/v1",
            "/v1beta/models/m:generateContent",
            "https://h/v1beta/models/m:generateContent",
        ),
        ("http://[::1]:1/a%20b", "/v1/x", "http://[::1]:1/a%20b/v1/x"),
    ],
)
def test_the_base_counts_without_its_v1(base: str, target: str, url: str) -> None:
    """Whatever form the base URL has, the endpoint is called where one expects."""
    assert str(join(URL(base), target)) == url


@given(st.text(alphabet="abc/%20?&=.~", max_size=20))
def test_a_target_keeps_its_escapes(tail: str) -> None:
    """What a client sent after the path is passed on to the letter, but for an empty query's mark."""
    assume(tail.partition("?")[1:] != ("?", ""))
    assert str(join(URL("http://h"), f"/v1/x{tail}")) == f"http://h/v1/x{tail}"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/chat/completions", "/openai/deployments/org%2Fm/chat/completions?api-version=1"),
        (
            "/v1/chat/completions?a=b",
            "/openai/deployments/org%2Fm/chat/completions?a=b&api-version=1",
        ),
        ("/openai/x", "/openai/x?api-version=1"),
    ],
)
def test_azures_layout(target: str, expected: str) -> None:
    """A deployment's path stands for /v1, and the version is put into the query."""
    route = Route(
        models=["*"],
        upstream="http://h",
        path="/openai/deployments/{model}",
        query={"api-version": "1"},
    )
    assert mapped(route, target, "org/m") == expected


async def test_models_go_to_their_endpoints_with_their_keys(tmp_path: Path) -> None:
    """The first route that fits takes a model; its key goes where it wants it, and only there.

    The records say which endpoint each call was for, and with which key of its cell it was made.
    """
    async with scripted_upstream([ANSWER]) as azure, scripted_upstream([ANSWER]) as other:
        routes = [
            {
                "models": ["gpt-*"],
                "upstream": azure.url,
                "key_env": "AZURE_KEY",
                "key_header": "api-key",
                "path": "/openai/deployments/{model}",
                "query": {"api-version": "1"},
            },
            {
                "models": ["org/*"],
                "upstream": f"{other.url}/api/v1",
                "headers": {"X-Title": "bench"},
            },
        ]
        async with (
            scripted_upstream([ANSWER]) as default,
            metered(
                default.url, tmp_path, routes=routes, route_keys={"AZURE_KEY": "azure-canary"}
            ) as meter,
        ):
            for model in ("gpt-5", "org/x", "rest"):
                await post(
                    meter.url,
                    "/v1/chat/completions",
                    chat_body(model=model),
                    "Authorization: Bearer own",
                )
            key = meter.proxy.mint_key("s/a/m/f/t", 60)
            await post(
                meter.url, "/v1/chat/completions", chat_body(), f"Authorization: Bearer {key}"
            )
            ends, starts = await meter.settled(4), meter.starts()
    authorities = [URL(each.url).authority for each in (azure, other, default, default)]
    for found in (starts, ends):
        assert [record["upstream"] for record in found] == authorities
        assert [record["route"] for record in found] == [0, 1, None, None]
        assert [record["key_id"] for record in found] == [None] * 3 + [key_id_of(key)[0]]
    assert azure.received[0].target == "/openai/deployments/gpt-5/chat/completions?api-version=1"
    assert azure.received[0].header("api-key") == "azure-canary"
    assert azure.received[0].header("Authorization") is None
    assert other.received[0].target == "/api/v1/chat/completions"
    assert other.received[0].header("X-Title") == "bench"
    assert other.received[0].header("Authorization") == "Bearer own"
    assert default.received[0].json["model"] == "rest"
    assert [end["endpoint"] for end in ends] == ["chat.completions"] * 4
    assert "azure-canary" not in "".join(
        f.read_text() for f in (tmp_path / "ledger").glob("*.jsonl")
    )


@pytest.mark.parametrize("run", [running_proxy, running_workers])
async def test_a_route_without_its_key_stops_the_start(run: Any, tmp_path: Path) -> None:
    """Its endpoint would get the clients' own keys: one line names the variable and the route."""
    routes = [
        {"models": ["a"], "upstream": "http://h", "key_env": "SET"},
        {"models": ["org/*", "b"], "upstream": "http://h", "key_env": "MISSING"},
    ]
    values = {"upstream": "http://h", "port": 0, "ledger": tmp_path / "l", "routes": routes}
    settings = parse_settings({**values, "workers": 2}, "x")
    for keys in ({"SET": "sk"}, {"SET": "sk", "MISSING": ""}):
        with pytest.raises(BadConfig, match=r"^MISSING is not set, and routes\.1 \(org/\*, b\)"):
            async with run(settings, route_keys=keys):
                pass


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """An endpoint with an unknown certificate is rejected; with its CA named, for it or for all, it is called."""
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]}")
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_side)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        trusted = {"models": ["good"], "upstream": url, "ca_file": str(tmp_path / "ca.pem")}
        async with metered(url, tmp_path, routes=[trusted]) as meter:
            bad = await post(meter.url, "/v1/chat/completions", chat_body(model="bad"))
            good = await post(meter.url, "/v1/chat/completions", chat_body(model="good"))
            ends = await meter.settled(2)
        async with metered(url, tmp_path / "all", ca_file=tmp_path / "ca.pem") as meter:
            assert (await meter.chat()).status == 200
    assert (bad.status, good.status) == (502, 200)
    assert orjson.loads(bad.body)["error"]["code"] == "upstream_tls"
    assert [end["end_reason"] for end in ends] == ["upstream_unreachable", "completed"]


async def test_an_http_proxy_on_the_way(tmp_path: Path) -> None:
    """With http_proxy set, the request goes to that proxy in absolute form."""
    async with scripted_upstream([ANSWER]) as squid:
        route = {"models": ["*"], "upstream": "http://endpoint.invalid", "http_proxy": squid.url}
        async with metered("http://127.0.0.1:9", tmp_path, routes=[route]) as meter:
            seen = await post(meter.url, "/v1/chat/completions", chat_body())
    assert seen.status == 200
    assert squid.received[0].target == "http://endpoint.invalid/v1/chat/completions"


async def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file of certificates that is not there is named before anything starts."""
    route = Route(models=["*"], upstream="https://h", ca_file=tmp_path / "none.pem")
    with pytest.raises(BadConfig, match=r"none\.pem cannot be used"):
        Upstream(route, None, 1, 1)


def test_a_route_needs_models_and_a_url() -> None:
    """A route without models, or with a wrong URL, is named by its place."""
    with pytest.raises(BadConfig, match=r"x: routes\.0\.models: "):
        parse_settings(
            {"upstream": "demo", "routes": [{"models": [], "upstream": "http://h"}]}, "x"
        )
    with pytest.raises(BadConfig, match=r"x: routes\.0\.upstream: 'h' is not an http"):
        parse_settings({"upstream": "demo", "routes": [{"models": ["*"], "upstream": "h"}]}, "x")


async def test_no_time_limit_applies_unless_it_is_set() -> None:
    """Long silent generations are legal: nothing but the connection has a limit by default."""
    settings = parse_settings({"upstream": "demo"}, "x")
    assert (settings.headers_timeout_s, settings.body_timeout_s) == (None, None)
    times_s = settings.connect_timeout_s, settings.keepalive_timeout_s
    upstream = Upstream(Route(models=["*"], upstream="http://h"), None, *times_s)
    limits = upstream._session.timeout
    assert (limits.total, limits.sock_read, limits.connect) == (None, None, None)
    await upstream.close()

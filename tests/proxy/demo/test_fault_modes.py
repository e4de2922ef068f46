"""Fault modes as agents meet them: real servers, real SDKs, and the account of every attempt."""

import asyncio
import contextlib
from typing import Any

import aiohttp
import anthropic
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo import FaultMode, read_fault_mode, running_demo
from cab.proxy.demo.fault_modes import NAMES, PAUSE_S, FaultModes, error_of
from cab.proxy.errors import BadConfig
from tests.proxy.demo.bodies import BODIES, STREAMS


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("unauthorized", FaultMode("unauthorized", None)),
        ("rate_limited", FaultMode("rate_limited", 2)),
        ("server_error", FaultMode("server_error", 1)),
        ("server_error:all", FaultMode("server_error", None)),
        ("cut_stream:3", FaultMode("cut_stream", 3)),
        ("slow_stream", FaultMode("slow_stream", None, PAUSE_S)),
    ],
)
def test_modes_are_read_with_their_length(text: str, mode: FaultMode) -> None:
    """A mode lasts as long as its text says, or as is usual for it."""
    assert read_fault_mode(text) == mode


@pytest.mark.parametrize("text", ["", "merry", "budget:", "budget:0", "budget:-1", "budget:two"])
def test_an_unknown_mode_is_one_clear_line(text: str) -> None:
    """An unknown mode or a wrong number names itself and the fix."""
    with pytest.raises(
        BadConfig, match=r"mode '.*'(: after the colon give| is unknown; known fault modes: )"
    ):
        read_fault_mode(text)


@given(st.text(max_size=20) | st.sampled_from(NAMES).map("{}:²".format))
def test_no_text_breaks_the_reading_of_modes(text: str) -> None:
    """Any text is a mode or a clear error."""
    with contextlib.suppress(BadConfig):
        assert read_fault_mode(text).name in NAMES


@given(st.integers(1, 9), st.integers(0, 12))
def test_a_mode_lasts_for_its_number_of_calls(calls: int, made: int) -> None:
    """So many calls are answered in it, and the others as they should be."""
    modes = FaultModes(FaultMode("budget", calls))
    bad = [modes.take() for _ in range(made)]
    assert sum(mode is not None for mode in bad) == min(calls, made)
    assert bad == sorted(bad, key=lambda mode: mode is None)[:made] or made <= calls


def test_modes_that_answer_have_no_error() -> None:
    """Without a mode, and in a cut or a slow stream, there is an answer."""
    for mode in (None, FaultMode("cut_stream"), FaultMode("slow_stream")):
        assert error_of(mode, "messages") is None


@pytest.mark.parametrize(
    ("mode", "statuses"),
    [
        ("unauthorized", [401, 401, 401]),
        ("rate_limited", [429, 429, 200]),
        ("server_error", [500, 200, 200]),
        ("server_error:all", [500, 500, 500]),
        ("budget", None),
    ],
)
@pytest.mark.parametrize("path", BODIES)
async def test_every_refused_request_is_in_the_account(
    path: str, mode: str, statuses: list[int] | None
) -> None:
    """Errors come for as long as the mode lasts; each is a row with its status and no tokens."""
    spent = 402 if path == "/v1/messages" else 400
    statuses = statuses or [spent] * 3
    async with running_demo(fault_mode=mode) as demo, aiohttp.ClientSession(demo.url) as http:
        for status in statuses:
            async with http.post(path, json=BODIES[path]) as response:
                body = await response.json()
                assert response.status == status
                assert bool(body.get("error")) is (status != 200)
                assert response.headers.get("Retry-After") == ("1" if status == 429 else None)
                assert ("x-should-retry" in response.headers) is (status == spent)
        account = demo.account()
    rows = account["by_call"]
    assert [row["status"] for row in rows] == statuses
    assert account["calls"] == statuses.count(200)
    assert account["refused"] == 3 - account["calls"]
    refused = [row for row in rows if row["status"] != 200]
    assert {row["outcome"] for row in refused} <= {"refused"}
    assert all(row["id"] is None and row["prompt_tokens"] is None for row in refused)
    assert {row["path"] for row in rows} == {path}


async def part_of(http: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> bytes:
    """Return what came of an answer before its connection broke."""
    received = bytearray()
    async with http.post(path, json=body) as response:
        try:
            async for chunk in response.content.iter_any():
                received += chunk
        except aiohttp.ClientError:
            return bytes(received)
    raise AssertionError("the answer came to its end")


@pytest.mark.parametrize("path", STREAMS | BODIES)
async def test_a_cut_answer_is_reset_in_its_middle(path: str) -> None:
    """The connection breaks after a part of the body; the call is counted apart, and the next one is whole."""
    body = STREAMS.get(path) or BODIES[path]
    async with (
        running_demo(fault_mode="cut_stream") as demo,
        aiohttp.ClientSession(demo.url) as http,
    ):
        received = await part_of(http, path, body)
        async with http.post(path, json=body) as response:
            whole = await response.read()
        account = demo.account()
    assert 0 < len(received) < len(whole)
    assert (account["calls"], account["cut"], account["refused"]) == (1, 1, 0)
    cut, served = account["by_call"]
    assert (cut["outcome"], cut["status"]) == ("cut", 200)
    assert account["prompt_tokens"] == served["prompt_tokens"] == cut["prompt_tokens"]


@pytest.mark.parametrize("path", STREAMS)
async def test_a_slow_stream_says_the_same(path: str) -> None:
    """Pauses change nothing in the answer, and the call is one that was served."""
    async with running_demo() as demo, aiohttp.ClientSession(demo.url) as http:
        async with http.post(path, json=STREAMS[path]) as response:
            quick = await response.read()
        demo.set_fault_mode(FaultMode("slow_stream", 1, pause_s=0.001))
        async with http.post(path, json=STREAMS[path]) as response:
            slow = await response.read()
        ids = [row["id"].encode() for row in demo.account()["by_call"]]
        assert demo.account()["calls"] == 2
    assert slow.count(b"data:") == quick.count(b"data:")
    assert ids[1] in slow


async def test_a_slow_stream_leaves_time_for_others() -> None:
    """While one answer pauses for ever, another call is served."""
    path = "/v1/chat/completions"
    async with running_demo() as demo, aiohttp.ClientSession(demo.url) as http:
        demo.set_fault_mode(FaultMode("slow_stream", 1, pause_s=3600))
        slow = await http.post(path, json=STREAMS[path])
        async with http.post(path, json=BODIES[path]) as response:
            assert response.status == 200
        slow.close()


async def test_the_mode_changes_while_it_runs() -> None:
    """A mode can be set and taken back between calls."""
    path = "/v1/responses"
    async with running_demo() as demo, aiohttp.ClientSession(demo.url) as http:
        statuses: list[int] = []
        for mode in (None, "unauthorized", FaultMode("budget"), None):
            demo.set_fault_mode(mode)
            async with http.post(path, json=BODIES[path]) as response:
                statuses.append(response.status)
    assert statuses == [200, 401, 400, 200]


async def test_bad_requests_and_token_counts_use_up_no_mode() -> None:
    """What is not a model call is answered as ever, and leaves the mode to the next one."""
    async with (
        running_demo(fault_mode="server_error:1") as demo,
        aiohttp.ClientSession(demo.url) as http,
    ):
        async with http.post("/v1/messages/count_tokens", json=BODIES["/v1/messages"]) as response:
            assert response.status == 200
        async with http.post("/v1/messages", data=b"{") as response:
            assert response.status == 400
        async with http.post("/v1/messages", json=BODIES["/v1/messages"]) as response:
            assert response.status == 500
        assert [row["status"] for row in demo.account()["by_call"]] == [400, 500]


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("unauthorized", openai.AuthenticationError),
        ("rate_limited", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("budget", openai.BadRequestError),
    ],
)
async def test_the_openai_sdk_knows_the_errors(mode: str, error: type[Exception]) -> None:
    """Each error becomes the exception that the SDK has for it, in both of its dialects."""
    async with running_demo(fault_mode=f"{mode}:all") as demo:
        url = f"{demo.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            with pytest.raises(error):
                await client.responses.create(model="m", input="hi")
            with pytest.raises(error):
                await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "hi"}]
                )


@pytest.mark.parametrize(
    ("mode", "status", "kind"),
    [
        ("unauthorized", 401, "authentication_error"),
        ("rate_limited", 429, "rate_limit_error"),
        ("server_error", 500, "api_error"),
        ("budget", 402, "billing_error"),
    ],
)
async def test_the_anthropic_sdk_knows_the_errors(mode: str, status: int, kind: str) -> None:
    """Each error becomes the SDK's exception with Anthropic's word for it."""
    async with (
        running_demo(fault_mode=f"{mode}:all") as demo,
        anthropic.AsyncAnthropic(base_url=demo.url, api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.messages.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
            )
    assert caught.value.status_code == status
    assert orjson.loads(caught.value.response.content)["error"]["type"] == kind


async def test_retries_of_an_sdk_are_rows_of_their_own() -> None:
    """An SDK that tries again after 500 makes two attempts of one call: one refused, one served."""
    async with (
        running_demo(fault_mode="server_error") as demo,
        anthropic.AsyncAnthropic(base_url=demo.url, api_key="k") as client,
    ):
        await client.messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
        rows = demo.account()["by_call"]
    assert [(row["status"], row["outcome"]) for row in rows] == [(500, "refused"), (200, "served")]
    assert len({row["key_fingerprint"] for row in rows}) == 1


async def test_concurrent_calls_share_one_mode() -> None:
    """Of calls that overlap, as many are refused as the mode has calls."""
    path = "/v1/chat/completions"
    async with (
        running_demo(fault_mode="rate_limited") as demo,
        aiohttp.ClientSession(demo.url) as http,
    ):

        async def status() -> int:
            async with http.post(path, json=BODIES[path]) as response:
                return response.status

        statuses = await asyncio.gather(*(status() for _ in range(6)))
    assert sorted(statuses) == [200] * 4 + [429] * 2

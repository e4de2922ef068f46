"""Limits and seals as clients meet them: what is refused, how, and what the ledger says then."""

import asyncio
import os
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import orjson
import pytest

from cab.proxy.accounting.admission import LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.app import WorkerContext, running_proxy
from cab.proxy.config import ProxySettings
from cab.proxy.workers.ipc_client import RemoteCellRegistry
from cab.proxy.workers.ipc_server import CellRegistryServer
from cab.proxy.workers.worker_slot import WorkerSlot
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT, SAMPLES, Sample
from tests.tools.proxy import Meter, metered, records
from tests.tools.upstream import LAST_CHUNK, Step, chunk, json_answer, scripted_upstream, sse_head

CELL = "s/aider/m/f/t"
CHAT = BY_ENDPOINT["chat.completions"]
MESSAGES = BY_ENDPOINT["messages"]


def whole(sample: Sample = CHAT) -> list[Step]:
    return [json_answer(sample.answer)]


def bearer(meter: Meter, **limits: Any) -> str:
    return f"Authorization: Bearer {meter.proxy.mint_key(CELL, 60, KeyLimits(**limits))}"


async def seal(meter: Meter) -> dict[str, Any]:
    key = f"Authorization: Bearer {meter.proxy.mint_keys(CELL, 60).seal}"
    seen = await post(meter.url, "/cab/cells/s%2Faider%2Fm%2Ff%2Ft/seal", b"", key)
    assert seen.status == 200, seen.body
    sealed: dict[str, Any] = orjson.loads(seen.body)
    return sealed


def rejected(meter: Meter) -> list[str]:
    """Return the error types of the calls that were refused."""
    return [r["error"]["type"] for r in meter.ends() if r["end_reason"] == "rejected"]


async def test_the_openai_sdk_does_not_retry_a_refusal(tmp_path: Path) -> None:
    """A reached limit is an error of the caller to the SDK, and it asks once only."""
    async with scripted_upstream(whole()) as upstream, metered(upstream.url, tmp_path) as meter:
        key = meter.proxy.mint_key(CELL, 60, KeyLimits(max_calls=1))
        async with openai.AsyncOpenAI(api_key=key, base_url=f"{meter.url}/v1") as client:
            create = client.chat.completions.create
            await create(model="m", messages=[{"role": "user", "content": "hi"}])
            with pytest.raises(openai.BadRequestError) as refused:
                await create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert refused.value.code == "cab_limit_reached"
        assert "limit of 1 call (max_calls); nothing was forwarded" in str(refused.value)
        assert rejected(meter) == ["cab_limit_reached"]
        assert len(upstream.received) == 1


async def test_the_anthropic_sdk_does_not_retry_a_refusal(tmp_path: Path) -> None:
    """The same in Anthropic's shape: 403, which its clients do not send again."""
    async with (
        scripted_upstream(whole(MESSAGES)) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        key = meter.proxy.mint_key(CELL, 60, KeyLimits(max_tokens=1))
        async with anthropic.AsyncAnthropic(api_key=key, base_url=meter.url) as client:
            create = client.messages.create
            await create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
            with pytest.raises(anthropic.PermissionDeniedError):
                await create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        assert rejected(meter) == ["cab_limit_reached"]
        assert len(upstream.received) == 1


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.endpoint)
async def test_a_refusal_has_the_dialects_shape(sample: Sample, tmp_path: Path) -> None:
    """Each dialect's refusal has its status, its error shape, and says that no retry helps."""
    async with (
        scripted_upstream(whole(sample)) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        key = bearer(meter, max_calls=1)
        await post(meter.url, sample.path, sample.request, key)
        seen = await post(meter.url, sample.path, sample.request, key)
    assert seen.header("x-should-retry") == "false"
    body = orjson.loads(seen.body)
    match sample.endpoint:
        case "messages":
            assert seen.status == 403
            assert (body["type"], body["error"]["type"]) == ("error", "permission_error")
        case "gemini.generateContent":
            assert (seen.status, body["error"]["code"]) == (400, 400)
            assert body["error"]["status"] == "INVALID_ARGUMENT"
        case _:
            assert (seen.status, body["error"]["code"]) == (400, "cab_limit_reached")
    assert CELL in body["error"]["message"]


@pytest.mark.parametrize("sample", SAMPLES[:3], ids=lambda s: s.endpoint)
async def test_a_full_minute_is_a_429_that_says_when(sample: Sample, tmp_path: Path) -> None:
    """It is the one refusal after which a client's retry helps; its record says that it waited."""
    async with (
        scripted_upstream(whole(sample)) as upstream,
        metered(upstream.url, tmp_path, slot_wait_s=0.01) as meter,
    ):
        key = bearer(meter, max_calls_per_minute=1)
        # Three: between two of them a minute may end.
        seen = [await post(meter.url, sample.path, sample.request, key) for _ in range(3)]
        refused = next(each for each in seen if each.status != 200)
        ends = [end for end in meter.ends() if end["end_reason"] == "rejected"]
    assert (refused.status, refused.header("x-should-retry")) == (429, None)
    assert 1 <= int(refused.header("retry-after") or "") <= 60
    assert b"max_calls_per_minute" in refused.body
    assert (ends[0]["error"]["type"], ends[0]["status"]) == ("cab_rate_limited", 429)
    assert ends[0]["queued_ms"] > 0


async def test_a_call_over_the_concurrency_waits(tmp_path: Path) -> None:
    """With one slot the second call reaches the endpoint when the first has ended."""
    first_may_end = asyncio.Event()
    slow: list[Step] = [first_may_end, *whole()]
    async with (
        scripted_upstream(slow, whole()) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        key = bearer(meter, max_concurrency=1)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(post(meter.url, CHAT.path, CHAT.request, key))
            await upstream.arrived.wait()
            second = tasks.create_task(post(meter.url, CHAT.path, CHAT.request, key))
            await all_live(meter, 2)
            assert len(upstream.received) == 1
            first_may_end.set()
        assert (first.result().status, second.result().status) == (200, 200)
        ends = await meter.settled(2)
        assert [r["seq"] for r in ends] == [1, 2]
        assert 0 == ends[0]["queued_ms"] < ends[1]["queued_ms"]


async def all_live(meter: Meter, calls: int) -> None:
    """Wait until so many calls are with the proxy."""
    async with asyncio.timeout(20):
        while len(meter.proxy._server.calls) < calls:  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0)


async def test_a_slot_that_does_not_come_free_is_a_refusal(tmp_path: Path) -> None:
    """After `slot_wait_s` the call is refused as for any other limit."""
    async with (
        scripted_upstream([asyncio.Event()]) as upstream,
        metered(upstream.url, tmp_path, slot_wait_s=0.05, grace_s=0.1) as meter,
    ):
        key = bearer(meter, max_concurrency=1)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(post(meter.url, CHAT.path, CHAT.request, key))
            await upstream.arrived.wait()
            seen = await post(meter.url, CHAT.path, CHAT.request, key)
            assert (seen.status, seen.header("x-should-retry")) == (400, "false")
            assert rejected(meter) == ["cab_limit_reached"]
            assert meter.ends()[0]["queued_ms"] > 0
            first.cancel()


async def test_a_client_that_leaves_takes_no_slot(tmp_path: Path) -> None:
    """A call whose client goes away while it waits is never made; the row says why."""
    end = asyncio.Event()
    async with (
        scripted_upstream([end, *whole()], whole()) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        key = bearer(meter, max_concurrency=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(post(meter.url, CHAT.path, CHAT.request, key))
            await upstream.arrived.wait()
            leaving = tasks.create_task(post(meter.url, CHAT.path, CHAT.request, key))
            await all_live(meter, 2)
            leaving.cancel()
            await asyncio.wait([leaving])
            await until_rejected(meter)
            end.set()
        await meter.settled(2)
        assert len(upstream.received) == 1


async def until_rejected(meter: Meter) -> None:
    async with asyncio.timeout(20):
        while not rejected(meter):  # noqa: ASYNC110 - a row on the disk tells nobody
            await asyncio.sleep(0)


async def test_a_stop_ends_the_wait_for_a_slot(tmp_path: Path) -> None:
    """Stopping does not wait for a slot: after the grace time the call is refused."""
    async with scripted_upstream([asyncio.Event()]) as upstream, asyncio.TaskGroup() as tasks:
        async with metered(upstream.url, tmp_path, grace_s=0.1) as meter:
            key = bearer(meter, max_concurrency=1)
            tasks.create_task(post(meter.url, CHAT.path, CHAT.request, key))
            await upstream.arrived.wait()
            tasks.create_task(post(meter.url, CHAT.path, CHAT.request, key))
            await all_live(meter, 2)
        assert sorted(r["end_reason"] for r in meter.ends()) == ["rejected", "timeout"]


async def test_a_stream_may_finish_after_its_cell_has_reached_a_limit(tmp_path: Path) -> None:
    """The call that passes a limit is answered to its end and recorded; the next is refused."""
    script = [sse_head(), *(chunk(e) for e in CHAT.events), LAST_CHUNK]
    async with scripted_upstream(script) as upstream, metered(upstream.url, tmp_path) as meter:
        key = bearer(meter, max_tokens=10)
        seen = await post(meter.url, CHAT.path, CHAT.body(stream=True), key)
        assert (seen.body, seen.complete) == (b"".join(CHAT.events), True)
        seen = await post(meter.url, CHAT.path, CHAT.body(stream=True), key)
        assert seen.status == 400
        [made, refused] = meter.ends()
    assert (made["end_reason"], made["total_tokens"]) == ("completed", 78)
    assert (refused["end_reason"], refused["upstream_attempts"]) == ("rejected", 0)


async def test_looking_up_is_free_and_other_posts_are_not(tmp_path: Path) -> None:
    """A cell at its limit may still ask for the models, and may post nothing anywhere."""
    async with (
        scripted_upstream(whole()) as upstream,
        metered(upstream.url, tmp_path, paths=["/v1/images"]) as meter,
    ):
        key = bearer(meter, max_calls=1)
        await post(meter.url, CHAT.path, CHAT.request, key)
        assert (await post(meter.url, "/v1/models", b"", key, method="GET")).status == 200
        assert (await post(meter.url, "/v1/images/generations", {}, key)).status == 400


@pytest.mark.parametrize("ack", ["end", "none"])
async def test_a_seal_states_every_call_and_no_later_refusal(ack: str, tmp_path: Path) -> None:
    """A seal right behind an answer holds it, with the refusals before; later ones are rows only."""
    async with (
        scripted_upstream(whole()) as upstream,
        metered(upstream.url, tmp_path, ack=ack) as meter,
    ):
        key = bearer(meter, max_calls=1)
        for _ in range(2):
            await post(meter.url, CHAT.path, CHAT.request, key)
        sealed = await seal(meter)
        assert (sealed["calls"], sealed["records"], sealed["total_tokens"]) == (1, 3, 78)
        assert (await post(meter.url, CHAT.path, CHAT.request, key)).status == 409
        slices = await post(
            meter.url, "/cab/cells/s%2Faider%2Fm%2Ff%2Ft/calls", b"", key, method="GET"
        )
        assert slices.body.count(b"\n") == 3
    assert rejected(meter) == ["cab_limit_reached", "cell_sealed"]


async def test_unidentified_callers_are_not_recorded(tmp_path: Path) -> None:
    """Strangers get 401 and cannot fill the ledger."""
    async with (
        scripted_upstream(whole()) as upstream,
        metered(upstream.url, tmp_path, auth="keys") as meter,
    ):
        seen = await post(meter.url, CHAT.path, CHAT.request, "Authorization: Bearer nobody")
        assert seen.status == 401
        assert meter.ends() == []


async def test_a_refusal_that_cannot_be_recorded_is_a_503(tmp_path: Path) -> None:
    """If the ledger fails, the client hears that, and nothing is forwarded either."""
    async with scripted_upstream(whole()) as upstream, metered(upstream.url, tmp_path) as meter:
        key = bearer(meter, max_calls=1)
        await post(meter.url, CHAT.path, CHAT.request, key)
        writer = meter.proxy._server._services.ledger._writer
        writer.file, closed = os.open("/dev/full", os.O_WRONLY), writer.file
        seen = await post(meter.url, CHAT.path, CHAT.request, key)
        os.close(closed)
    assert (seen.status, len(upstream.received)) == (503, 1)


async def test_a_worker_without_its_parent_refuses_calls(
    tmp_path: Path, memory: SharedMemory
) -> None:
    """A worker that cannot ask the cell registry answers 503 and forwards nothing."""
    registry = LocalCellRegistry(CellStates(), 20)
    server = CellRegistryServer(registry, [WorkerSlot(0)], [], memory)
    async with scripted_upstream(whole()) as upstream:
        values = {"upstream": upstream.url, "port": 0, "ledger": tmp_path / "ledger"}
        async with server.listening(tmp_path / "cells"), asyncio.TaskGroup() as tasks:
            remote = await RemoteCellRegistry.connect(tmp_path / "cells", memory)
            tasks.create_task(remote.listen())
            await remote.request("configuration", 0)
            worker = WorkerContext(0, remote)
            async with running_proxy(ProxySettings.model_validate(values), worker=worker) as proxy:
                assert (await post(proxy.url, CHAT.path, CHAT.request)).status == 200
                await remote.close()
                seen = await post(proxy.url, CHAT.path, CHAT.request)
        assert seen.status == 503
        assert orjson.loads(seen.body)["error"]["code"] == "registry_lost"
        assert len(upstream.received) == 1
        assert len(records(proxy.ledger_dir)) == 1


BROKEN: list[Step] = [json_answer({"error": {"message": "it broke"}}, "500 Internal Server Error")]
CAPPED = {**CHAT.request, "max_tokens": 300}
AT_MOST = len(orjson.dumps(CAPPED)) + 1024 + 300


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("on_unknown", "max_tokens", "refusal"),
    [
        (None, AT_MOST + 1, None),
        (None, AT_MOST, f"limit of {AT_MOST} tokens (max_tokens), with 1 uncounted call"),
        ("charge", AT_MOST, "with 1 uncounted call (on_unknown = charge)"),
        ("exhaust", 10**9, "with 1 uncounted call (on_unknown = exhaust)"),
        ("ignore", 1, None),
    ],
)
async def test_a_call_that_nobody_counted_is_not_free(
    on_unknown: Any, max_tokens: int, refusal: str | None, restarts: bool, tmp_path: Path
) -> None:
    """After a 500 a limit is charged the upper bound, used up, or left alone, also after a restart."""
    limits = {"max_tokens": max_tokens, "on_unknown": on_unknown}
    async with scripted_upstream(BROKEN) as upstream, AsyncExitStack() as proxies:
        proxy = metered(upstream.url, tmp_path)
        meter = await proxy.__aenter__()
        assert (await post(meter.url, CHAT.path, CAPPED, bearer(meter, **limits))).status == 500
        if restarts:
            await proxy.__aexit__(None, None, None)
            meter = await proxies.enter_async_context(metered(upstream.url, tmp_path))
        else:
            proxies.push_async_exit(proxy)
        seen = await post(meter.url, CHAT.path, CAPPED, bearer(meter, **limits))
    assert seen.status == (500 if refusal is None else 400)
    assert refusal is None or refusal in seen.body.decode()
    assert len(upstream.received) == (2 if refusal is None else 1)


@pytest.mark.parametrize(
    ("prices", "on_unknown", "refusal"),
    [
        # 12 x $1 + 5 x $2 for each million: over a limit of $0.00002 after the first call
        ({"models": {"*": {"input": 1, "output": 2}}}, None, "limit of 0.00002 US dollars"),
        ({"models": {"*": {"input": "0.1", "output": "0.2"}}}, None, None),
        ({"models": {"other": {"input": 1, "output": 2}}}, None, "with 1 unpriced call"),
        ({"models": {"other": {"input": 1, "output": 2}}}, "ignore", None),
    ],
)
async def test_a_limit_in_money_goes_by_the_operators_table(
    prices: Any, on_unknown: Any, refusal: str | None, tmp_path: Path
) -> None:
    """What has no price cannot be kept within a limit: the next call is refused, and says whose prices hold."""
    limits = {"max_cost_usd": Decimal("0.00002"), "on_unknown": on_unknown}
    async with (
        scripted_upstream(whole()) as upstream,
        metered(upstream.url, tmp_path, prices=prices) as meter,
    ):
        first = await post(meter.url, CHAT.path, CHAT.request, bearer(meter, **limits))
        seen = await post(meter.url, CHAT.path, CHAT.request, bearer(meter, **limits))
    assert first.status == 200
    assert seen.status == (200 if refusal is None else 400)
    said = seen.body.decode()
    assert refusal is None or (refusal in said and "the endpoint, table:config@" in said)


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


async def test_a_call_that_nothing_bounds_is_not_free(tmp_path: Path) -> None:
    """An image and no cap: no bound is stated and the interval stays open, yet the limit is charged."""
    asks = {"model": "m", "messages": [{"role": "user", "content": [IMAGE]}]}
    async with scripted_upstream(BROKEN) as upstream, metered(upstream.url, tmp_path) as meter:
        key = bearer(meter, max_tokens=232_000)
        statuses = [(await post(meter.url, CHAT.path, asks, key)).status for _ in range(2)]
        sealed = await seal(meter)
    assert statuses == [500, 400]
    assert sealed["total_interval"] == {"known_total": 0, "unknown_calls": 1, "upper_total": None}
    bounds = {r["prompt_tokens_at_most"] for r in meter.ends()}
    assert (bounds, len(upstream.received)) == ({None}, 1)


async def test_the_proxy_says_what_unknown_calls_cost_and_a_key_can_differ(tmp_path: Path) -> None:
    """The setting holds for keys that say nothing; what a key says wins."""
    async with (
        scripted_upstream(BROKEN) as upstream,
        metered(upstream.url, tmp_path, on_unknown="exhaust", assumed_output_cap=7) as meter,
    ):
        await post(meter.url, CHAT.path, CHAT.request, bearer(meter, max_tokens=10**9))
        for on_unknown, status in ((None, 400), ("charge", 500), ("exhaust", 400), ("ignore", 500)):
            key = bearer(meter, max_tokens=10**9, on_unknown=on_unknown)
            assert (await post(meter.url, CHAT.path, CHAT.request, key)).status == status
        bounds = {r["completion_tokens_at_most"] for r in meter.ends()}
    assert bounds == {7}


async def test_usage_that_turns_up_after_the_client_has_left_is_what_counts(tmp_path: Path) -> None:
    """A call whose client leaves is not charged its bound: it is read on, and its usage comes."""
    rest = asyncio.Event()
    events = [chunk(event) for event in CHAT.events]
    async with (
        scripted_upstream(
            [sse_head(), events[0], rest, *events[1:], LAST_CHUNK], whole()
        ) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        key = bearer(meter, max_tokens=100)
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(post(meter.url, CHAT.path, CHAT.body(stream=True), key))
            await upstream.arrived.wait()
            leaving.cancel()
            await asyncio.wait([leaving])
        rest.set()
        [left] = await meter.settled(1)
        assert (left["end_reason"], left["total_tokens"]) == ("client_gone", 78)
        assert (await post(meter.url, CHAT.path, CHAT.request, key)).status == 200
        assert (await post(meter.url, CHAT.path, CHAT.request, key)).status == 400

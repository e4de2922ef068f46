"""Bodies of requests: together they stay within one budget, and large ones are read in little memory."""

import asyncio
from pathlib import Path

import pytest

from cab.proxy.forwarding.body_budget import BodyBudget, BodyShare, NoRoom
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.process import proxy_process
from tests.tools.proxy import metered
from tests.tools.raw import connected, request
from tests.tools.upstream import json_answer, scripted_upstream

MB = 1 << 20
CHAT = BY_ENDPOINT["chat.completions"]
ANSWER = [json_answer(CHAT.answer)]


def body_of(size_bytes: int) -> bytes:
    return (
        b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * (size_bytes - 55) + b'"}]}'
    )


async def test_who_came_first_is_let_in_first() -> None:
    """A small body does not pass a large one that waits, and room that is given back is used."""
    budget = BodyBudget(10, 60)
    first, second, third = (BodyShare(budget) for _ in range(3))
    await first.hold(8)
    create_task = asyncio.get_running_loop().create_task
    waiting = [create_task(share.hold(size)) for share, size in ((second, 9), (third, 1))]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    first.release()
    await asyncio.gather(*waiting)
    for share in (second, third):
        share.release()
    await first.hold(10)


async def test_who_gives_up_leaves_no_gap() -> None:
    """A body that waited too long, or whose client has gone, takes nothing and blocks nobody."""
    budget = BodyBudget(10, 0.01)
    first, second, third = (BodyShare(budget) for _ in range(3))
    await first.hold(6)
    with pytest.raises(NoRoom):
        await second.hold(5)
    await second.hold(4)
    second.release()
    create_task = asyncio.get_running_loop().create_task
    gone, small = create_task(second.hold(5)), create_task(third.hold(4))
    await asyncio.sleep(0)
    gone.cancel()
    await small
    first.release()
    third.release()
    await first.hold(1 << 40)


async def test_a_cell_has_half_of_it_at_most() -> None:
    """The bodies of one cell wait for each other, and keep no other cell out."""
    budget = BodyBudget(10, 60)
    mine, more, other, last = (BodyShare(budget, cell) for cell in ("a", "a", "b", "b"))
    await mine.hold(4)
    waiting = asyncio.get_running_loop().create_task(more.hold(3))
    await asyncio.sleep(0)
    await other.hold(5)
    assert not waiting.done()
    assert not last.hold_now(1)
    mine.release()
    await waiting
    for share in (more, other):
        share.release()
    await last.hold(8)  # a body is not kept out by its own size


async def test_a_body_without_room_is_refused_with_a_record(tmp_path: Path) -> None:
    """The second of two bodies waits unread, gets a 503, and passes once the first has gone."""
    body = body_of(MB)
    raw = request(CHAT.path, body)
    async with (
        scripted_upstream(ANSWER) as upstream,
        metered(
            upstream.url, tmp_path, cell="s/aider/m/f/t", body_budget_bytes=MB, slot_wait_s=0.2
        ) as meter,
    ):
        async with connected(meter.url) as unfinished, connected(meter.url) as second:
            asking = raw.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1)
            unfinished.send(asking[:-1])
            assert b" 100 " in await unfinished.reader.readline()
            second.send(raw)
            assert b" 503 " in await second.reader.readline()
        async with connected(meter.url) as third:
            third.send(raw)
            assert (await third.answer()).status == 200
        refused, served = meter.ends()
    assert (refused["end_reason"], refused["error"]["type"]) == ("rejected", "overload")
    assert (refused["status"], refused["request_bytes"]) == (503, 0)
    assert (served["status"], served["request_bytes"]) == (200, MB)
    assert 0 == served["queued_ms"] < refused["queued_ms"]
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    ("body", "most_mb"),
    [
        (b'{"model":"m","a":[' + b"[]," * (10 * MB) + b"0]}", 200 + 4 * 30),
        (body_of(100 * MB), 200 + 4 * 100),
    ],
    ids=["30 MB of lists", "100 MB of text"],
)
async def test_a_large_body_in_bounded_memory(body: bytes, most_mb: int, tmp_path: Path) -> None:
    """It passes, its model is read, and the process never needs more than 200 MB and four times it."""
    async with (
        scripted_upstream(ANSWER) as upstream,
        proxy_process(upstream.url, tmp_path) as proxy,
        connected(proxy.url) as line,
    ):
        line.send(request(CHAT.path, body))
        async with asyncio.timeout(120):
            assert b" 200 " in await line.reader.readline()
        assert proxy.resident_bytes("VmHWM") < most_mb * MB
    assert upstream.received[0].body == body

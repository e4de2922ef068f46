"""Faults 1 to 5: the client, or the endpoint, goes away."""

import asyncio

from tests.proxy.catalogue.table import World, case
from tests.tools.client import Leave, Seen
from tests.tools.proxy import Meter
from tests.tools.upstream import LAST_CHUNK, Fault, Step, chunk, json_answer, sse_head

LEFT_EARLY = "left before the end"


def has(text: bytes) -> Leave:
    """Leave as soon as the body holds a text; an empty one is there with the head."""
    return lambda seen: text in seen.body


def paused(world: World, after: int, *, then_silent: bool = False) -> list[Step]:
    """The sample's stream, waiting for the client to leave after some events."""
    frames = [chunk(e) for e in world.sample.events]
    gate: Step = asyncio.Event() if then_silent else world.left
    return [sse_head(), *frames[:after], gate, *frames[after:], LAST_CHUNK]


async def leave_after(world: World, events: int, policy: str) -> Seen:
    seen_all = b"".join(world.sample.events[:events])
    cancel = policy == "cancel"
    script = paused(world, events, then_silent=cancel)
    async with world.running(script, on_disconnect=policy) as meter, asyncio.timeout(20):
        seen = await world.post(meter, leave=has(seen_all))
        if cancel:
            await world.upstream.received[0].hung_up.wait()
    assert seen.hung_up
    assert world.upstream.received[0].hung_up.is_set() == cancel
    return seen


@case(
    "1",
    "leaves before the first chunk, drain",
    client=LEFT_EARLY,
    streaming=(True,),
    end_reason="client_gone",
)
async def _leave_at_0_drain(world: World) -> Seen:
    return await leave_after(world, 0, "drain")


@case(
    "1",
    "leaves after the first chunk, drain",
    client=LEFT_EARLY,
    streaming=(True,),
    end_reason="client_gone",
)
async def _leave_at_1_drain(world: World) -> Seen:
    return await leave_after(world, 1, "drain")


@case(
    "1",
    "leaves in the middle, drain",
    client=LEFT_EARLY,
    streaming=(True,),
    end_reason="client_gone",
)
async def _leave_in_the_middle_drain(world: World) -> Seen:
    return await leave_after(world, len(world.sample.texts) // 2, "drain")


@case(
    "1",
    "leaves after the last text, drain",
    client=LEFT_EARLY,
    streaming=(True,),
    end_reason="client_gone",
)
async def _leave_at_the_last_drain(world: World) -> Seen:
    return await leave_after(world, len(world.sample.texts), "drain")


@case("1", "leaves before the first chunk, cancel: the prompt counted here, nothing written", client=LEFT_EARLY,
      streaming=(True,), tokens="see the case", end_reason="client_gone", usage_source="tokenizer",
      usage_status="partial", completion_tokens=0)  # fmt: skip
async def _leave_at_0_cancel(world: World) -> Seen:
    return await leave_after(world, 0, "cancel")


@case(
    "1",
    "leaves after the last text, cancel: a marked estimate, and the endpoint stops",
    client=LEFT_EARLY,
    streaming=(True,),
    tokens="counted here",
    end_reason="client_gone",
    usage_status="partial",
)
async def _leave_at_the_last_cancel(world: World) -> Seen:
    return await leave_after(world, len(world.sample.texts), "cancel")


@case("2", "leaves between the usage and the end", client=LEFT_EARLY, streaming=(True,),
      dialects=("chat.completions", "completions", "messages", "gemini.generateContent"),
      end_reason="client_gone", usage_status="complete")  # fmt: skip
async def _leave_after_usage(world: World) -> Seen:
    sample = world.sample
    return await leave_after(world, len(sample.texts) + len(sample.ending), "drain")


@case("2b", "leaves right after the terminal event", client="the whole stream", streaming=(True,),
      dialects=("chat.completions", "completions", "responses", "messages"),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _leave_after_the_terminal_event(world: World) -> Seen:
    frames = [chunk(e) for e in world.sample.events]
    script: list[Step] = [sse_head(), *frames, world.left, LAST_CHUNK]
    seen = await world.call(script, leave=has(world.expected_body))
    assert seen.body == world.expected_body
    return seen


@case(
    "3",
    "leaves while the endpoint is silent, drain",
    client=LEFT_EARLY,
    streaming=(False,),
    end_reason="client_gone",
)
async def _leave_in_silence_drain(world: World) -> Seen:
    script: list[Step] = [world.left, json_answer(world.sample.answer)]
    async with world.running(script) as meter, asyncio.timeout(20):
        seen = await hang_up_in_silence(world, meter)
    assert not world.upstream.received[0].hung_up.is_set()
    return seen


@case("3", "leaves while the endpoint is silent, cancel: noticed at once, the endpoint stops",
      client=LEFT_EARLY, streaming=(False, True), tokens="none", end_reason="client_gone", status=None)  # fmt: skip
async def _leave_in_silence_cancel(world: World) -> Seen:
    script: list[Step] = [asyncio.Event()]
    async with world.running(script, on_disconnect="cancel") as meter, asyncio.timeout(20):
        seen = await hang_up_in_silence(world, meter)
        await world.upstream.received[0].hung_up.wait()
    return seen


async def hang_up_in_silence(world: World, meter: Meter) -> Seen:
    """Send the request, hang up once the endpoint has it, and wait until the proxy noticed."""
    loop = asyncio.get_running_loop()
    calling = loop.create_task(world.post(meter))
    await world.upstream.arrived.wait()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await meter.noticed()
    world.left.set()
    return Seen(hung_up=True)


@case("18", "leaves, and asks again before the first call has its END: attempt 2", client="the whole answer, byte for byte", rows=2,
      streaming=(False,))  # fmt: skip
async def _asked_again_after_leaving(world: World) -> Seen:
    go_on = asyncio.Event()
    slow: list[Step] = [go_on, *world.whole()]
    async with world.running(slow, world.whole()) as meter, asyncio.timeout(20):
        await hang_up_in_silence(world, meter)
        seen = await world.post(meter)
        go_on.set()
    repeated, first = world.rows
    assert [first["end_reason"], repeated["end_reason"]] == ["client_gone", "completed"]
    assert [row["attempt"] for row in (first, repeated)] == [1, 2]
    assert repeated["retry_of"] == first["call_id"]
    return seen


@case("4", "the endpoint closes in mid-stream", client="a broken stream, no terminal event", streaming=(True,),
      tokens="counted here", end_reason="upstream_cut", usage_status="partial")  # fmt: skip
async def _upstream_closes(world: World) -> Seen:
    return await cut(world, Fault.CLOSE)


@case("4", "the endpoint resets in mid-stream", client="a broken stream, no terminal event", streaming=(True,),
      tokens="counted here", end_reason="upstream_cut", usage_status="partial")  # fmt: skip
async def _upstream_resets(world: World) -> Seen:
    return await cut(world, Fault.RESET)


@case("4", "the endpoint closes before the first text: as after it, the prompt is counted here", streaming=(True,),
      client="a broken stream, no terminal event", tokens="see the case", rows=2, end_reason="upstream_cut",
      usage_source="tokenizer", usage_status="partial", completion_tokens=0)  # fmt: skip
async def _upstream_closes_before_a_text(world: World) -> Seen:
    scripts: list[list[Step]] = [
        [sse_head(), Fault.CLOSE],
        [sse_head(), chunk(b": wait\n\n"), Fault.CLOSE],
    ]
    async with world.running(*scripts) as meter:
        await world.post(meter)
        seen = await world.post(meter)
    assert not seen.complete
    assert all(row["prompt_tokens"] > 0 for row in world.rows)
    return seen


async def cut(world: World, fault: Fault) -> Seen:
    reached = asyncio.Event()
    texts = b"".join(world.sample.texts)

    def arrived(seen: Seen) -> bool:
        if texts in seen.body:
            reached.set()
        return False

    script: list[Step] = [sse_head(), *(chunk(e) for e in world.sample.texts), reached, fault]
    seen = await world.call(script, leave=arrived)
    assert seen.body == texts
    assert not seen.complete
    assert not seen.hung_up
    return seen


@case("4", "the endpoint closes in the middle of a body", client="a body shorter than announced", streaming=(False,),
      tokens="none", end_reason="upstream_cut")  # fmt: skip
async def _upstream_closes_in_a_body(world: World) -> Seen:
    whole = json_answer(world.sample.answer)
    seen = await world.call([whole[:-10], Fault.CLOSE])
    assert seen.body == world.expected_body[:-10]
    assert not seen.complete
    return seen


@case("4", "the stream ends in order but without its terminal event", client="the stream as it came", streaming=(True,),
      dialects=("chat.completions", "completions", "responses", "messages"),
      tokens="counted here", end_reason="upstream_cut", usage_status="partial")  # fmt: skip
async def _stream_without_end(world: World) -> Seen:
    seen = await world.call([sse_head(), *(chunk(e) for e in world.sample.texts), LAST_CHUNK])
    assert seen.body == b"".join(world.sample.texts)
    assert seen.complete
    return seen


@case("5", "draining stops after its time", client=LEFT_EARLY, streaming=(True,), tokens="counted here",
      end_reason="client_gone", usage_status="partial")  # fmt: skip
async def _drain_stops_in_time(world: World) -> Seen:
    script = paused(world, len(world.sample.texts), then_silent=True)
    all_texts = has(b"".join(world.sample.texts))
    async with world.running(script, drain_max_s=0.05) as meter, asyncio.timeout(20):
        seen = await world.post(meter, leave=all_texts)
        await world.upstream.received[0].hung_up.wait()
    return seen


@case("5", "draining stops after its bytes", client=LEFT_EARLY, streaming=(True,), tokens="counted here",
      end_reason="client_gone", usage_status="partial")  # fmt: skip
async def _drain_stops_at_its_size(world: World) -> Seen:
    texts = [chunk(e) for e in world.sample.texts]
    comments = [chunk(b": " + b"x" * 50_000 + b"\n\n")] * 40
    script: list[Step] = [sse_head(), *texts, world.left, *comments, asyncio.Event()]
    return await world.call(
        script, leave=has(b"".join(world.sample.texts)), drain_max_bytes=100_000
    )

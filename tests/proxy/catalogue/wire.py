"""Faults 13, 14 and 16: how a stream is cut into bytes, lines and chunks."""

import asyncio

import orjson

from tests.proxy.catalogue.table import OPENAI, World, case
from tests.tools.client import Seen
from tests.tools.upstream import LAST_CHUNK, Step, chunk, event, sse_head

AS_SENT = "the bytes as they were sent"


async def sends(world: World, *pieces: bytes) -> Seen:
    """Stream some bytes in given chunks; the client must get just these."""
    seen = await world.call([sse_head(), *(chunk(p) for p in pieces), LAST_CHUNK])
    assert seen.body == b"".join(pieces)
    assert seen.complete
    return seen


@case(
    "13",
    "every byte in a chunk of its own",
    client=AS_SENT,
    streaming=(True,),
    end_reason="completed",
)
async def _byte_by_byte(world: World) -> Seen:
    body = world.expected_body
    return await sends(world, *(body[n : n + 1] for n in range(len(body))))


@case("13", "everything in one chunk", client=AS_SENT, streaming=(True,), end_reason="completed")
async def _all_at_once(world: World) -> Seen:
    return await sends(world, world.expected_body)


@case(
    "13",
    "lines end in CRLF, chunks between the two",
    client=AS_SENT,
    streaming=(True,),
    end_reason="completed",
)
async def _crlf(world: World) -> Seen:
    body = world.expected_body.replace(b"\n", b"\r\n")
    return await sends(
        world, *(part for part in body.split(b"\r") for part in (part, b"\r") if part)
    )


@case("13", "lines end in CR", client=AS_SENT, streaming=(True,), end_reason="completed")
async def _cr(world: World) -> Seen:
    return await sends(world, *(e.replace(b"\n", b"\r") for e in world.sample.events))


@case(
    "13",
    "comments and keep-alives between events",
    client=AS_SENT,
    streaming=(True,),
    end_reason="completed",
)
async def _comments(world: World) -> Seen:
    comment = b": OPENROUTER PROCESSING\n\n"
    return await sends(world, comment, *(p for e in world.sample.events for p in (comment, e)))


@case("13", "data over several lines", client=AS_SENT, streaming=(True,), end_reason="completed")
async def _several_data_lines(world: World) -> Seen:
    return await sends(world, *(e.replace(b',"', b',\ndata: "') for e in world.sample.events))


@case("13", "a byte order mark first", client=AS_SENT, streaming=(True,), end_reason="completed")
async def _byte_order_mark(world: World) -> Seen:
    return await sends(world, b"\xef\xbb\xbf", *world.sample.events)


@case(
    "13",
    "no blank line after the last event",
    client=AS_SENT,
    streaming=(True,),
    end_reason="completed",
)
async def _no_last_blank_line(world: World) -> Seen:
    *events, last = world.sample.events
    return await sends(world, *events, last[:-2])


@case("13", "U+2028 and U+0085 raw in the JSON, characters split", client=AS_SENT, streaming=(True,),
      end_reason="completed")  # fmt: skip
async def _separators_in_json(world: World) -> Seen:
    odd = "a\u2028b\u0085c\u00e9\U0001f600".encode()
    pieces = [e.replace(b" me", odd).replace(b"turn", odd) for e in world.sample.events]
    assert any(odd in piece for piece in pieces)
    halves = [half for p in pieces for half in _split_inside(p, odd)]
    return await sends(world, *halves)


def _split_inside(piece: bytes, odd: bytes) -> list[bytes]:
    at = piece.find(odd)
    return [piece] if at < 0 else [piece[: at + 2], piece[at + 2 : -3], piece[-3:]]


@case(
    "14",
    "one line of 4 MB",
    client=AS_SENT,
    dialects=OPENAI,
    streaming=(True,),
    end_reason="completed",
)
async def _long_line(world: World) -> Seen:
    long = orjson.loads(world.sample.texts[-1][6:])
    long["padding"] = "x" * 4_000_000
    first, *rest = world.sample.events
    return await sends(world, first, event(long), *rest)


@case("14", "10,000 chunks", client=AS_SENT, streaming=(True,), end_reason="completed")
async def _many_chunks(world: World) -> Seen:
    sample = world.sample
    terminal = [sample.terminal] if sample.terminal else []
    middle = [sample.texts[-1]] * 10_000
    return await sends(world, *sample.texts, *middle, *sample.ending, *terminal)


@case("16", "every chunk is with the client before the next one comes", client="each chunk at its time",
      streaming=(True,), end_reason="completed")  # fmt: skip
async def _each_at_its_time(world: World) -> Seen:
    events = world.sample.events
    gates = [asyncio.Event() for _ in events]

    def arrived(seen: Seen) -> bool:
        for n, gate in enumerate(gates):
            if len(seen.body) >= len(b"".join(events[: n + 1])):
                gate.set()
        return False

    script: list[Step] = [sse_head()]
    for sent, gate in zip(events, gates, strict=True):
        script += [chunk(sent), gate]
    seen = await world.call([*script, LAST_CHUNK], leave=arrived)
    assert seen.pieces == events
    return seen

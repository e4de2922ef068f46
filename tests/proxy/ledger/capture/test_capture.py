"""A proxy that keeps bodies keeps what agents sent and got, without secrets, within bounds."""

import asyncio
import gzip
import json
import stat
import zlib
from pathlib import Path
from random import Random

import orjson
import pytest

from cab.proxy.ledger.capture.retention import delete_cell
from cab.scoring.capture import cell_folder_name, find_capture
from cab.scoring.ledger.verify import verify_ledger
from tests.proxy.ledger.capture.captured import all_bytes, capturing, kept
from tests.tools.client import post
from tests.tools.proxy import REAL_KEY, Meter, chat_body, metered, records
from tests.tools.upstream import (
    DONE,
    LAST_CHUNK,
    Fault,
    Step,
    chunk,
    event,
    json_answer,
    scripted_upstream,
    sse_head,
)
from tests.tools.websockets import Peer, connected, events, websocket_endpoint

ANSWER = {
    "id": "a",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "hey"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
SENT_KEY = "Canary.of-the-agent/0123456789"


@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
async def test_each_call_has_its_two_bodies(tmp_path: Path, wire: str) -> None:
    """As the agent sent it, not as it was forwarded; a look-up and an error are calls too."""
    late = "429 Too Many Requests"
    upstream = scripted_upstream(
        [json_answer(ANSWER)],
        [json_answer(ANSWER)],
        [json_answer({"error": {"message": "slow"}}, late, "Retry-After: 7", "X-Odd: 1")],
    )
    settings = {"cell": "c", "wire": wire}
    async with upstream as endpoint, capturing(endpoint.url, tmp_path, **settings) as meter:
        text = json.dumps(chat_body(stream=False), indent=3).encode()
        await post(meter.url, "/v1/chat/completions", text)
        await post(meter.url, "/v1/models?key=secret-of-query&x=1", b"", method="GET")
        await meter.chat(stream=True)
        ends = await meter.settled(3)
        assert "stream_options" in endpoint.received[2].json
    first, second, third = sorted(kept(meter.proxy.ledger_dir), key=lambda each: each.call.call_id)
    assert (first.request, first.answer) == (text, orjson.dumps(ANSWER))
    assert (second.request, second.call.method, second.call.path) == (b"", "GET", "/v1/models?x=1")
    assert third.request is not None
    assert orjson.loads(third.request) == chat_body(stream=True)
    assert third.call.response is not None
    assert third.call.response.status == 429
    assert third.call.response.headers == {"content-type": "application/json", "retry-after": "7"}
    for each, end in zip((first, second, third), ends, strict=True):
        said = each.call.model_dump()
        for name in ("call_id", "cell_id", "seq", "endpoint", "request_hash", "end_reason"):
            assert said[name] == end[name]
        assert each.call.request.complete
        assert each.call.response is not None
        assert each.call.response.complete
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "ledger/capture").rglob("*")}
    assert modes == {0o700, 0o600}
    found = verify_ledger(meter.proxy.ledger_dir)
    assert found.faults == ()


async def test_without_it_nothing_is_kept(tmp_path: Path) -> None:
    async with metered("demo", tmp_path) as meter:
        await meter.chat()
        await meter.settled(1)
        assert (meter.proxy._server._services).capture is None
        async with meter.client.get(f"{meter.url}/cab/health") as answer:
            health = await answer.json()
        assert "capture_lost_calls" not in health
    assert not (tmp_path / "ledger/capture").exists()


@pytest.mark.parametrize(
    "pieces",
    [
        [f'{{"content":"{SENT_KEY[:9]}', f'{SENT_KEY[9:]} {REAL_KEY}"}}'],
        [f'{{"content":"{SENT_KEY[:9]}"}}', f'{{"content":"{SENT_KEY[9:15]}"}}', f'{{"content":"{SENT_KEY[15:]}!"}}'],
        [f'{{"content":"{c}"}}' for c in f"a {SENT_KEY} b"],
    ],
    ids=["over two reads", "over three events", "a character each"],
)  # fmt: skip
async def test_a_secret_is_in_no_blob(tmp_path: Path, pieces: list[str]) -> None:
    """Neither one that a read divides, nor one that a model writes in several events, nor in a prompt."""
    whole = len(pieces) == 2
    sent = [p.encode() for p in pieces] if whole else [event(p.encode()) for p in pieces]
    stream = [sse_head(), *(chunk(part) for part in sent), chunk(b"\n\n" + DONE), LAST_CHUNK]
    body = chat_body(stream=True, user=f"{SENT_KEY} \\u0043anary {REAL_KEY}")
    async with scripted_upstream(stream) as endpoint, capturing(endpoint.url, tmp_path) as meter:
        head = {"Authorization": f"Bearer {SENT_KEY}"}
        url = f"{meter.url}/v1/chat/completions"
        answer = await meter.client.post(url, json=body, headers=head)
        got = await answer.read()
    [one] = kept(meter.proxy.ledger_dir)
    written = all_bytes(tmp_path / "ledger/capture")
    assert SENT_KEY.encode() not in written
    assert REAL_KEY.encode() not in written
    assert one.answer is not None
    texts = "".join(part.split('":"')[1].split('"')[0] for part in one.answer.decode().split("{")[1:])  # fmt: skip
    assert SENT_KEY[:6] not in texts
    assert "[redacted]" in texts
    assert one.call.redactions >= 3
    assert len(got) != len(one.answer)


async def test_what_looks_like_a_key_goes_too(tmp_path: Path) -> None:
    """From a body, and from a query."""
    key = "sk-proj-CanaryShaped0123456789abcdefgh"
    async with capturing("demo", tmp_path) as meter:
        await meter.chat(user=f"export KEY={key}")
        await post(meter.url, f"/v1/models?of={key}", b"", method="GET")
    assert key.encode() not in all_bytes(tmp_path / "ledger/capture")


async def test_a_body_that_cannot_be_decoded_is_not_kept(tmp_path: Path) -> None:
    """What nobody can read, nobody can take secrets out of: a key would be inside, compressed."""
    packed = gzip.compress(orjson.dumps({**ANSWER, "key": REAL_KEY})) + b"\x1f no member"
    odd = zlib.compress(REAL_KEY.encode())
    upstream = scripted_upstream(
        [json_answer(packed, "200 OK", "Content-Encoding: gzip")],
        [json_answer(odd, "200 OK", "Content-Encoding: of-its-own")],
        [json_answer({**ANSWER, "key": REAL_KEY}, "200 OK", "Content-Encoding: utf-8")],
    )
    async with upstream as endpoint, capturing(endpoint.url, tmp_path) as meter:
        for _ in range(3):
            await meter.chat(stream=False)
        for head in ("gzip", "of-its-own"):
            await post(meter.url, "/v1/chat/completions", packed, f"Content-Encoding: {head}")
    told = [(each.call.note, each.answer) for each in kept(meter.proxy.ledger_dir)[:3]]
    assert [answer is None for _, answer in told] == [True, True, False]
    assert b"[redacted]" in (told[2][1] or b"")
    notes = [each.call.note or "" for each in kept(meter.proxy.ledger_dir)]
    assert ["was not undone" in note for note in notes] == [True, True, False, True, True]
    written = all_bytes(tmp_path / "ledger/capture")
    assert packed[:-30] not in written
    assert odd not in written


async def test_content_encodings_are_undone(tmp_path: Path) -> None:
    packed = json_answer(gzip.compress(orjson.dumps(ANSWER)), "200 OK", "Content-Encoding: gzip")
    async with scripted_upstream([packed]) as endpoint, capturing(endpoint.url, tmp_path) as meter:
        data = gzip.compress(orjson.dumps(chat_body()))
        await post(meter.url, "/v1/chat/completions", data, "Content-Encoding: gzip")
    [one] = kept(meter.proxy.ledger_dir)
    assert (one.request, one.answer) == (orjson.dumps(chat_body()), orjson.dumps(ANSWER))


async def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    begun = event({"choices": [{"index": 0, "delta": {"content": "he"}}]})
    cut: list[Step] = [sse_head(), chunk(begun), Fault.RESET]
    async with scripted_upstream(cut) as endpoint, capturing(endpoint.url, tmp_path) as meter:
        await post(meter.url, "/v1/chat/completions", chat_body(stream=True))
        await meter.settled(1)
    [one] = kept(meter.proxy.ledger_dir)
    assert one.answer == begun
    assert one.call.end_reason == "upstream_cut"
    assert one.call.response is not None
    assert not one.call.response.complete


async def test_of_larger_bodies_only_the_size_is_kept(tmp_path: Path) -> None:
    large = orjson.dumps({**ANSWER, "padding": "x" * 5000})
    limit = {"capture_max_body_bytes": 2000}
    async with (
        scripted_upstream([json_answer(large)]) as endpoint,
        capturing(endpoint.url, tmp_path, **limit) as meter,
    ):
        await meter.chat(user="y" * 3000)
        await meter.chat()
    first, second = kept(meter.proxy.ledger_dir)
    assert first.call.request.bytes == len(json.dumps(chat_body(user="y" * 3000)))
    for body in (first.call.request, first.call.response, second.call.response):
        assert body is not None
        assert (body.sha256, body.parts, body.complete) == (None, None, False)
    assert second.call.response is not None
    assert second.call.response.bytes == len(large)
    assert second.request == json.dumps(chat_body()).encode()
    assert second.call.note is not None
    assert "2000 bytes" in second.call.note


async def conversation(meter: Meter, calls: int, text: str = "word ") -> list[bytes]:
    """Make calls that each repeat all before; return what was sent."""
    messages = [{"role": "system", "content": text * 2000}]
    sent = list[bytes]()
    for number in range(calls):
        messages += [{"role": "user", "content": f"{number} " + text * 100}]
        sent.append(orjson.dumps(chat_body(messages=messages)))
        head = {"Content-Type": "application/json"}
        url = f"{meter.url}/v1/chat/completions"
        async with meter.client.post(url, data=sent[-1], headers=head) as answer:
            assert answer.status == 200
            await answer.read()
    return sent


async def test_what_a_conversation_repeats_is_kept_once_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with capturing("demo", tmp_path, cell="c") as meter:
        sent = await conversation(meter, 10)
    file = tmp_path / "ledger/capture" / cell_folder_name("c") / "w0.parts"
    lines = file.with_suffix(".jsonl")
    before = file.stat().st_size
    with lines.open("ab") as torn:  # what a kill may leave
        torn.write(b'{"schema":"cab.capture/1","kind":"call","torn')
    async with capturing("demo", tmp_path, cell="c") as meter:
        sent += await conversation(meter, 10)
    assert [one.request for one in kept(meter.proxy.ledger_dir)] == sent
    [cell] = find_capture(meter.proxy.ledger_dir)
    unpacked = sum(place.bytes for call in cell.calls for place in call.new_parts)
    assert unpacked < sum(map(len, sent)) / 3
    assert file.stat().st_size < before * 1.7  # answers differ by their ids


async def test_a_cell_that_is_deleted_while_it_is_written_begins_anew(tmp_path: Path) -> None:
    """Nothing that the new folder does not have is taken to be there."""
    capture = tmp_path / "ledger/capture"
    async with capturing("demo", tmp_path, cell="c") as meter:
        await conversation(meter, 2)
        await written(capture, "c", 2)
        assert delete_cell(capture, "c")
        sent = await conversation(meter, 2)
        assert not delete_cell(capture, "other")
    assert [one.request for one in kept(meter.proxy.ledger_dir)] == sent
    assert [path.name for path in capture.iterdir()] == [cell_folder_name("c")]


async def written(capture: Path, cell: str, lines: int) -> None:
    """Wait until a cell has so many lines: nothing else says when the thread has written them."""
    file = capture / cell_folder_name(cell) / "w0.jsonl"
    async with asyncio.timeout(20):
        while not file.exists() or file.read_bytes().count(b"\n") < lines:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_oldest_cells_go_and_one_cell_has_a_quarter(tmp_path: Path) -> None:
    """What a cell has beyond its share is lost, and said; its records are as ever."""
    noise = Random(0)
    capture = tmp_path / "ledger/capture"
    limits = {"capture_max_bytes": 64 << 10, "open_attribution": True}
    async with capturing("demo", tmp_path, **limits) as meter:
        url = f"{meter.url}/v1/chat/completions"
        for number in range(12):
            cell = f"c{number}" if number < 6 else "greedy"
            body = chat_body(user=noise.randbytes(6000).hex())
            async with meter.client.post(url, json=body, headers={"X-Cab-Cell": cell}) as answer:
                await answer.read()
        for _ in range(6):
            async with meter.client.get(f"{meter.url}/cab/health") as answer:
                health = await answer.json()
        ends = await meter.settled(12)
    cells = {cell.cell_id for cell in find_capture(meter.proxy.ledger_dir)}
    assert "c5" in cells
    assert "c0" not in cells
    greedy = [one for one in kept(meter.proxy.ledger_dir) if one.call.cell_id == "greedy"]
    assert 2 <= len(greedy) < 6
    assert sum(file.stat().st_size for file in capture.rglob("*.*")) < 64 << 10
    assert len(ends) == 12
    assert set(health) >= {"capture_lost_calls", "capture_failure"}


async def test_a_capture_that_cannot_be_written_harms_no_call(tmp_path: Path) -> None:
    """A file stands where its folder should be."""
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/capture").touch()
    async with capturing("demo", tmp_path) as meter:
        assert (await meter.chat()).status == 200
        assert await meter.proxy.quiet(5)
        capture = meter.proxy._server._services.capture
        assert capture is not None
        await capture.close()
        async with meter.client.get(f"{meter.url}/cab/health") as answer:
            health = await answer.json()
    assert health["capture_lost_calls"] == 1
    assert "NotADirectoryError" in health["capture_failure"]
    assert len(records(tmp_path / "ledger")) == 1


async def test_responses_on_a_websocket_are_kept_with_their_events(tmp_path: Path) -> None:
    """The frame as it was sent; each event in a line of its own."""
    frame = '{"type": "response.create", "model": "gpt-x",\n "input": "hi"}'
    answer = [orjson.dumps(each, option=orjson.OPT_INDENT_2).decode() for each in events("resp_1")]

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(*answer)
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        capturing(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.send(frame)
        for _ in answer:
            await client.raw()
        await client.ws.close()
    [one] = kept(meter.proxy.ledger_dir)
    assert one.request == frame.encode()
    assert one.answer is not None
    assert [orjson.loads(line) for line in one.answer.splitlines()] == events("resp_1")
    assert (one.call.transport, one.call.end_reason) == ("websocket", "completed")
    assert one.call.response is not None
    assert one.call.response.complete


async def test_nothing_of_it_goes_over_the_wire(tmp_path: Path) -> None:
    """Not even to the admin, whatever is asked for."""
    canary = "canary-of-a-prompt"
    async with capturing(
        "demo", tmp_path, cell="c", auth="keys", signing_key="x" * 32, admin_token="a" * 32
    ) as meter:
        opened = await meter.proxy.open_cell("c", 60)
        keys = [{"Authorization": f"Bearer {key}"} for key in ("a" * 32, opened.key)]
        url = f"{meter.url}/v1/chat/completions"
        async with meter.client.post(url, json=chat_body(user=canary), headers=keys[1]) as answer:
            assert answer.status == 200
            await answer.read()
        await written(tmp_path / "ledger/capture", "c", 1)
        statuses, seen = list[int](), b""
        for path in ("cells", "cells/c", "cells/c/calls", "health", "capture", "capture/c", ""):
            for key in keys:
                async with meter.client.get(f"{meter.url}/cab/{path}", headers=key) as answer:
                    statuses.append(answer.status)
                    seen += await answer.read()
    assert canary.encode() in all_bytes(tmp_path / "ledger/capture")
    assert statuses.count(200) >= 6
    assert b'"c"' in seen
    assert canary.encode() not in seen


async def test_a_body_that_was_not_read_is_unknown(tmp_path: Path) -> None:
    """Not an empty one: there was no room for it."""
    limits = {"body_budget_bytes": 1000, "slot_wait_s": 0.01}
    go_on = asyncio.Event()
    body = chat_body(user="x" * 2000)
    async with (
        scripted_upstream([go_on, json_answer(ANSWER)]) as endpoint,
        capturing(endpoint.url, tmp_path, **limits) as meter,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(post(meter.url, "/v1/chat/completions", body))
        await endpoint.arrived.wait()
        answer = await post(meter.url, "/v1/chat/completions", body)
        go_on.set()
        assert (answer.status, (await first).status) == (503, 200)
    [one] = [each for each in kept(meter.proxy.ledger_dir) if each.call.end_reason == "rejected"]
    assert (one.call.request.bytes, one.call.request.complete) == (None, False)
    assert one.call.note == "request: it was not read"
    assert one.answer == answer.body


async def test_without_room_in_memory_a_body_is_left_out_and_counted(tmp_path: Path) -> None:
    """The call is answered all the same, and its line says what is missing."""
    go_on = asyncio.Event()
    script: list[Step] = [
        sse_head(),
        chunk(event({"a": "x" * 900})),
        go_on,
        chunk(DONE),
        LAST_CHUNK,
    ]
    async with (
        scripted_upstream(script) as endpoint,
        capturing(endpoint.url, tmp_path, capture_max_body_bytes=1000) as meter,
        asyncio.TaskGroup() as group,
    ):
        calls = [
            group.create_task(post(meter.url, "/v1/chat/completions", chat_body(stream=True)))
            for _ in range(20)
        ]
        while len(endpoint.received) < 20:
            endpoint.arrived.clear()
            await endpoint.arrived.wait()
        go_on.set()
        assert {(await call).status for call in calls} == {200}
        capture = meter.proxy._server._services.capture
    assert capture is not None
    left_out = [one for one in kept(meter.proxy.ledger_dir) if one.answer is None]
    assert len(left_out) == capture.lost_calls > 0
    assert "no room" in (left_out[0].call.note or "")

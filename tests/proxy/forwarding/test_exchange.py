"""The life of a call: each START has its END, in time, whatever limit runs out meanwhile."""

import os
import time
from functools import partial
from pathlib import Path

import orjson
import pytest

from cab.proxy.ledger.ledger import Ledger
from tests.tools.dialects import SAMPLES, Sample
from tests.tools.proxy import metered
from tests.tools.raw import connected, request
from tests.tools.sdk import answered
from tests.tools.upstream import LAST_CHUNK, chunk, event, scripted_upstream, sse_head

LONG_TEXT = "".join(f"{number} " for number in range(400_000))
"""Takes much longer to count than the limit below."""
CALLS = [(s, stream) for s in SAMPLES for stream in (False, True) if s.streams or not stream]


@pytest.mark.parametrize(("sample", "stream"), CALLS)
async def test_the_record_is_there_before_the_answer_is_complete(
    sample: Sample, stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the bytes arrive that tell the client that its answer is complete, END is on disk."""
    on_disk: list[bytes] = []

    def slow_sync(file: int) -> None:
        written = os.pread(file, os.fstat(file).st_size, 0)
        time.sleep(0.02)
        on_disk.append(written)

    monkeypatch.setattr("cab.proxy.app.Ledger", partial(Ledger, sync=slow_sync))
    last = (sample.terminal or b"\r\n0\r\n\r\n") if stream else orjson.dumps(sample.answer)
    async with (
        scripted_upstream(answered(sample, stream=stream)) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(request(sample.target(stream=stream), orjson.dumps(sample.body(stream=stream))))
        await line.reader.readuntil(last)
        assert b'"end_reason":"completed"' in on_disk[-1]


async def test_a_limit_that_runs_out_while_tokens_are_counted_costs_no_record(
    tmp_path: Path,
) -> None:
    """An answer that came whole is completed, however long its tokens take to count."""
    text = event({"choices": [{"index": 0, "delta": {"content": LONG_TEXT}}]})
    script = [sse_head(), chunk(text), chunk(event(b"[DONE]")), LAST_CHUNK]
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path, body_timeout_s=0.1, headers_timeout_s=5) as meter,
    ):
        answer = await meter.chat(stream=True)
        [end] = await meter.settled(1)
    assert (answer.status, end["end_reason"]) == (200, "completed")
    assert end["usage_source"] == "tokenizer"

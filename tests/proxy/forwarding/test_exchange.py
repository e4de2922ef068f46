"""The life of a call: each START has its END, whatever limit runs out meanwhile."""

from pathlib import Path

from tests.tools.proxy import metered
from tests.tools.upstream import LAST_CHUNK, chunk, event, scripted_upstream, sse_head

LONG_TEXT = "".join(f"{number} " for number in range(400_000))
"""Takes a good deal longer to count than the limit below."""


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

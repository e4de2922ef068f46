"""Every dialect, read by the proxy's own meter: what is written is what was counted."""

import pytest
from hypothesis import given

from cab.proxy.demo.dialects import CHAT, MESSAGES, RESPONSES, DemoDialect, gemini
from cab.proxy.demo.responder import THOUGHT, DemoReply
from cab.proxy.demo.sending import first_half
from cab.proxy.demo.usage import DemoUsage
from tests.proxy.demo.dialects.replies import (
    USAGE,
    assert_usage,
    read_by_meter,
    replies,
    request,
    streamed,
    usages,
)

EVENTS = gemini("m", stream=True, sse=True)
ARRAY = gemini("m", stream=True, sse=False)
DIALECTS = [CHAT, RESPONSES, MESSAGES, EVENTS, ARRAY]
IDS = ["chat", "responses", "messages", "gemini-sse", "gemini-array"]
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)


@every_dialect
@given(replies, usages)
def test_streams_are_metered_as_counted(
    dialect: DemoDialect, reply: DemoReply, usage: DemoUsage
) -> None:
    """A stream is complete, has all its calls, and states the usage that was counted."""
    outcome = read_by_meter(dialect, streamed(dialect, reply, usage), stream=True)
    assert_usage(outcome, usage)
    assert (outcome.tool_calls or 0) == len(reply.calls)


@every_dialect
@given(replies, usages)
def test_whole_answers_are_metered_as_counted(
    dialect: DemoDialect, reply: DemoReply, usage: DemoUsage
) -> None:
    """An answer in one piece says and states the same as the stream."""
    body = dialect.whole(request(), reply, "id-1", usage)
    outcome = read_by_meter(dialect, [body], stream=False)
    stream = read_by_meter(dialect, streamed(dialect, reply, usage), stream=True)
    assert_usage(outcome, usage)
    assert (outcome.finish_reason, outcome.usage) == (stream.finish_reason, stream.usage)
    assert (outcome.tool_calls or 0) == (stream.tool_calls or 0)


@every_dialect
@given(replies.filter(lambda reply: bool(reply.text)))
def test_a_stream_that_is_cut_is_incomplete(dialect: DemoDialect, reply: DemoReply) -> None:
    """The half of a stream that a cut sends is not a complete answer to the meter."""
    outcome = read_by_meter(dialect, [*first_half(streamed(dialect, reply))], stream=True)
    assert not outcome.complete
    assert outcome.finish_reason is None


def test_thoughts_come_apart_in_gemini_only() -> None:
    """A thought is a part of its own, and its tokens are not among the candidates."""
    reply = DemoReply("x", thought=THOUGHT)
    outcome = read_by_meter(EVENTS, streamed(EVENTS, reply), stream=True)
    assert outcome.usage is not None
    assert outcome.usage.reasoning_tokens == USAGE.reasoning_tokens
    assert outcome.completion_texts == [THOUGHT, "x"]

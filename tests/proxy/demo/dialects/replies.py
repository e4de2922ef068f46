"""Replies to write in every dialect, and what the meter reads in the result."""

from typing import Any

import orjson
from hypothesis import strategies as st

from cab.proxy.demo.dialects import DemoDialect
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage
from cab.proxy.meter import CallMeter, Outcome, dialect_for
from cab.proxy.meter import Usage as Read

ID = "id-1"
MODEL = "stepfun-ai/step"
USAGE = DemoUsage(prompt_tokens=11, completion_tokens=7, cached_tokens=5, reasoning_tokens=3)

PATHS = {
    "chat.completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini.generateContent": f"/v1beta/models/{MODEL}:generateContent",
}

texts = st.text(st.characters(codec="utf-8"), max_size=400)
arguments = st.dictionaries(st.text("ab", max_size=3), texts, max_size=3).map(
    lambda members: orjson.dumps(members).decode()
)
calls = st.builds(ToolCall, st.text("xyz", min_size=1, max_size=9), arguments)
replies = st.builds(DemoReply, texts, st.lists(calls, max_size=3).map(tuple))
usages = st.builds(
    lambda fresh, cached, text, thought: DemoUsage(fresh + cached, text + thought, cached, thought),
    st.integers(1, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 10**6),
    st.integers(0, 10**6),
)


def request(**fields: Any) -> ChatRequest:
    """A request for a stream with usage."""
    return ChatRequest(MODEL, [], [], may_call=True, stream=True)._replace(**fields)


def whole(dialect: DemoDialect, reply: DemoReply, usage: DemoUsage = USAGE) -> dict[str, Any]:
    """Return the answer in one piece."""
    answer: dict[str, Any] = orjson.loads(dialect.whole(request(), reply, ID, usage))
    return answer


def streamed(dialect: DemoDialect, reply: DemoReply, usage: DemoUsage = USAGE) -> list[bytes]:
    """Return the events of the answer."""
    return [*dialect.stream(request(), reply, ID, usage)]


def read_by_meter(dialect: DemoDialect, pieces: list[bytes], *, stream: bool) -> Outcome:
    """Return what the proxy's meter makes of an answer."""
    path = PATHS[dialect.endpoint]
    meter = CallMeter(dialect_for("POST", path), path, b'{"stream":true}' if stream else b"{}")
    meter.start(200, dialect.stream_type if stream else "application/json", "", None)
    for number, piece in enumerate(pieces):
        meter.feed(piece, number)
    meter.finish(len(pieces))
    return meter.outcome()


def assert_usage(outcome: Outcome, usage: DemoUsage) -> None:
    """The meter's numbers are those that the demo counted."""
    read = outcome.usage
    assert isinstance(read, Read)
    assert (read.prompt_tokens, read.completion_tokens, read.total_tokens) == (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
    )
    assert (read.cache_read_tokens or 0) == usage.cached_tokens
    assert outcome.usage_status == "complete"
    assert (outcome.complete, outcome.unmetered, outcome.error) == (True, None, None)
    assert (outcome.upstream_id, outcome.model_served) == (ID, MODEL)

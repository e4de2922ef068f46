"""The dialects that the demo knows: each reads a request, and writes an answer or an error.

*_request -> what the responder looks at (ChatRequest)
*_answer <- what it decides (DemoReply), what that costs (DemoUsage)
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from cab.proxy.demo.dialects.chat_answer import completion, events
from cab.proxy.demo.dialects.chat_request import read_request
from cab.proxy.demo.dialects.errors import ErrorReply, anthropic_error, google_error, openai_error
from cab.proxy.demo.dialects.gemini_answer import generation, generation_array, generation_events
from cab.proxy.demo.dialects.gemini_request import read_generation_request
from cab.proxy.demo.dialects.messages_answer import message, message_events
from cab.proxy.demo.dialects.messages_request import read_message_request
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.dialects.responses_answer import response, response_events
from cab.proxy.demo.dialects.responses_request import read_response_request
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.usage import DemoUsage
from cab.scoring.ledger.records import Endpoint

EVENT_STREAM = "text/event-stream; charset=utf-8"


class DemoDialect(NamedTuple):
    """One way of asking for an answer and of giving it."""

    endpoint: Endpoint
    id_prefix: str
    """How ids of answers begin."""
    read: Callable[[bytes], ChatRequest]
    whole: Callable[[ChatRequest, DemoReply, str, DemoUsage], bytes]
    """Writes the answer in one piece."""
    stream: Callable[[ChatRequest, DemoReply, str, DemoUsage], Iterator[bytes]]
    """Writes the answer event by event."""
    error: Callable[[ErrorReply], bytes]
    """Writes an error."""
    stream_type: str = EVENT_STREAM
    """Media type of a stream."""


CHAT = DemoDialect("chat.completions", "chatcmpl-", read_request, completion, events, openai_error)
RESPONSES = DemoDialect(
    "responses", "resp_", read_response_request, response, response_events, openai_error
)
MESSAGES = DemoDialect(
    "messages", "msg_", read_message_request, message, message_events, anthropic_error
)


def gemini(model: str, *, stream: bool, sse: bool) -> DemoDialect:
    """Return the dialect of a Gemini call.

    Args:
        model: From the path.
        stream: Whether the path asks for a stream.
        sse: Whether the stream is one of events; if not, it is a JSON array.
    """
    return DemoDialect(
        endpoint="gemini.generateContent",
        id_prefix="gen-",
        read=partial(read_generation_request, model=model, stream=stream),
        whole=generation,
        stream=generation_events if sse else generation_array,
        error=google_error,
        stream_type=EVENT_STREAM if sse else "application/json",
    )

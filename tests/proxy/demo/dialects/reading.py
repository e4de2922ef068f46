"""The reader of each dialect, with the smallest request that it takes."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from cab.proxy.demo.dialects.chat_request import read_request
from cab.proxy.demo.dialects.gemini_request import read_generation_request
from cab.proxy.demo.dialects.messages_request import read_message_request
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.dialects.responses_request import read_response_request

Read = Callable[..., ChatRequest]
"""Takes the fields to add or change."""

HELLO = [{"role": "user", "content": "hi"}]
SMALLEST: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": HELLO},
    "messages": {"model": "m", "max_tokens": 9, "messages": HELLO},
    "responses": {"model": "m", "input": "hi"},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
READERS: dict[str, Callable[[bytes], ChatRequest]] = {
    "chat": read_request,
    "messages": read_message_request,
    "responses": read_response_request,
    "gemini": partial(read_generation_request, model="stepfun-ai/step", stream=True),
}


def reader(dialect: str) -> Read:
    """Return a function that reads the smallest request with some fields changed."""

    def read(**fields: Any) -> ChatRequest:
        return READERS[dialect](json.dumps({**SMALLEST[dialect], **fields}).encode())

    return read

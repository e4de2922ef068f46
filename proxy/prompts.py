"""What a request gives the model to read, per dialect, for counting it where no usage came.

Chat has its own rules, in `tokens`. For the other dialects the frames around texts are not published;
what is counted is every text that a person or a tool wrote, the tool definitions as compact JSON, and
3 tokens for each message and for the start of the answer, as in chat.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from cab.proxy.tokens import ANSWER_FRAME, MESSAGE_FRAME, count_chat_prompt, count_text
from cab.scoring.records import Endpoint

_NOT_TEXT = frozenset(
    {"data", "image_url", "file_data", "encrypted_content", "id", "call_id", "type"}
)
"""Members whose strings are no text that a model reads: images, files, ids, tags."""

_BARE_INPUT: dict[Endpoint, str] = {"completions": "prompt", "embeddings": "input"}
_PARTS: dict[Endpoint, tuple[str, ...]] = {
    "responses": ("instructions", "input"),
    "messages": ("system", "messages"),
    "gemini.generateContent": ("systemInstruction", "contents"),
}


def count_prompt(endpoint: Endpoint, request: dict[str, Any], encoding: str) -> int:
    """Return the tokens of a request's prompt.

    Args:
        endpoint: The dialect.
        request: The request's JSON object.
        encoding: Name of the encoding to count with.
    """
    if endpoint == "chat.completions":
        messages, tools = request.get("messages"), request.get("tools")
        return count_chat_prompt(_items(messages), _items(tools) or None, encoding)
    bare = _BARE_INPUT.get(endpoint)
    if bare is not None:
        return _count_input(request.get(bare), encoding)
    return _count_parts(encoding, request, _PARTS.get(endpoint, ()))


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def _count_input(value: object, encoding: str) -> int:
    """Count a prompt or an input: a text, tokens, or a list of either."""
    if isinstance(value, int):
        return 1
    if isinstance(value, str):
        return count_text(value, encoding)
    return sum(_count_input(item, encoding) for item in _items(value))


def _count_parts(encoding: str, request: dict[str, Any], members: tuple[str, ...]) -> int:
    messages = sum(
        len(_items(request.get(member))) or 1 for member in members if request.get(member)
    )
    texts = [text for member in members for text in _texts(request.get(member))]
    texts += [orjson.dumps(tool).decode() for tool in _items(request.get("tools"))]
    return ANSWER_FRAME + MESSAGE_FRAME * messages + sum(count_text(t, encoding) for t in texts)


def _texts(value: object) -> Iterator[str]:
    """Yield every text inside a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in _items(value):  # pyright: ignore[reportUnknownArgumentType]
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            if name not in _NOT_TEXT:
                yield from _texts(item)  # pyright: ignore[reportUnknownArgumentType]

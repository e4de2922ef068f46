"""A request as the demo looks at it, whatever its dialect: in the terms of a chat completion."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from cab.proxy.demo.dialects.fields import list_of, reject
from cab.proxy.meter.json_values import JsonObject, as_list, as_object, is_object

Message = dict[str, Any]


class ChatRequest(NamedTuple):
    """What the demo looks at in a request; messages and tools are those of a chat completion."""

    model: str
    messages: list[Message]
    tools: list[Any]
    may_call: bool
    """Whether tools may be called: `tool_choice` is not `none`."""
    stream: bool
    include_usage: bool = True
    choices: int = 1
    schema: JsonObject | None = None
    """JSON schema that the answer must have; None if any words will do."""
    thinks: bool = False
    """Whether the client wants to see the model's thoughts."""


def messages_in(data: JsonObject) -> list[Message]:
    """Return the member `messages`: at least one object, each with a role."""
    messages = list_of(data, "messages") or reject("messages is missing or empty", "messages")
    for number, message in enumerate(messages):
        if not is_object(message) or not isinstance(message.get("role"), str):
            reject("every message is an object with a role", f"messages[{number}]")
    return [as_object(message) for message in messages]


def conversation(instructions: str | None, messages: Iterable[Message]) -> list[Message]:
    """Return messages behind the instructions, with what the assistant wrote in a row as one.

    One answer may be several items of a history: words, thoughts, and each tool call. The responder
    counts answers to know which step is due.
    """
    found = [{"role": "system", "content": instructions}] if instructions else []
    for message in messages:
        last = found[-1] if found else None
        if last is not None and last["role"] == message["role"] == "assistant":
            content = "\n".join(text for text in (last["content"], message["content"]) if text)
            found[-1] = {"role": "assistant", "content": content}
        else:
            found.append(message)
    return found


def texts_of(messages: Iterable[Message], *roles: str) -> list[str]:
    """Return the texts of the messages with these roles, one text for each message."""
    return [text_in(message.get("content")) for message in messages if message["role"] in roles]


def text_in(content: object) -> str:
    """Return the text of a message's content: a string, or parts of which some have a text."""
    if isinstance(content, str):
        return content
    texts = [as_object(part).get("text") for part in as_list(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


def function_tool(name: object, schema: object) -> JsonObject:
    """Return the definition of a function that takes arguments of this schema."""
    return {"type": "function", "function": {"name": name, "parameters": schema}}

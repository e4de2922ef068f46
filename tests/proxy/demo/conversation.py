"""An agent in a few lines, for the tests of the demo: it really does what the demo says."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from cab.proxy.demo.dialects.chat_request import read_request
from cab.proxy.demo.dialects.request import Message
from cab.proxy.demo.responder import DemoReply, reply_to

Tools = list[dict[str, Any]]

MOST_TURNS = 12


def function(name: str, required: list[str], **properties: Any) -> dict[str, Any]:
    """A tool definition; a property is given as its schema, or as the name of its type."""
    schemas = {k: {"type": v} if isinstance(v, str) else v for k, v in properties.items()}
    parameters = {"type": "object", "properties": schemas, "required": required}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def ask(messages: list[Message], tools: Tools | None = None, **more: Any) -> DemoReply:
    body = {"model": "demo", "messages": messages, **({"tools": tools} if tools else {}), **more}
    return reply_to(read_request(orjson.dumps(body)))


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def run_with_tools(
    messages: list[Message], tools: Tools, act: Callable[[str, dict[str, Any]], str | None]
) -> list[tuple[str, dict[str, Any]]]:
    """Go on until the demo calls no tool or `act` returns None; return the calls."""
    messages = list(messages)
    called: list[tuple[str, dict[str, Any]]] = []
    for _ in range(MOST_TURNS):
        reply = ask(messages, tools)
        if not reply.calls:
            return called
        messages.append({"role": "assistant", "content": reply.text, "tool_calls": []})
        for call in reply.calls:
            arguments = orjson.loads(call.arguments)
            called.append((call.name, arguments))
            result = act(call.name, arguments)
            if result is None:
                return called
            messages.append({"role": "tool", "content": result})
    raise AssertionError(f"the demo does not come to an end: {called}")


def bash(command: str | list[str], folder: Path) -> str:
    argv = ["bash", "-c", command] if isinstance(command, str) else command
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr

# ruff: noqa: T201 - a program of its own, it prints
"""The scripted agent: asks a model what to do, reads and writes files, and ends when the model does.

It is run as a program of its own and knows nothing of the rest of this package:

    OPENAI_BASE_URL=... OPENAI_API_KEY=... OPENAI_MODEL=... python scripted_agent.py "the task"
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

MAX_TURNS = 50
SYSTEM = (
    "You are a coding agent in the user's working folder. Use the tools to look at files and to "
    "change them; paths are relative to the folder. Answer with plain text once you are done."
)

Message = dict[str, Any]
Usage = dict[str, int]


class AgentError(Exception):
    """Something that ends the run; its text is what the user sees."""


def _tool(name: str, description: str, **parameters: str) -> Message:
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


TOOLS = [
    _tool("list_files", "List all files of the folder."),
    _tool("read_file", "Return the content of a file.", path="File to read."),
    _tool(
        "write_file",
        "Create a file, or replace its content.",
        path="File to write.",
        content="The whole new content.",
    ),
]


class Model:
    """The model behind an OpenAI-compatible endpoint, and the usage that it reports."""

    def __init__(self, base_url: str, key: str, name: str, stream: bool) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = key
        self._name = name
        self._stream = stream
        self._usages: list[Usage | None] = []

    def report(self) -> str:
        """Return the token line of all answers; unknown if the endpoint left out one count."""
        calls = len(self._usages)
        if None in self._usages:
            return f"tokens: unknown, {calls} calls"
        usages = [usage for usage in self._usages if usage is not None]
        prompt = sum(usage["prompt_tokens"] for usage in usages)
        completion = sum(usage["completion_tokens"] for usage in usages)
        return f"tokens: {prompt} prompt, {completion} completion, {calls} calls"

    def answer(self, messages: list[Message]) -> Message:
        """Return the model's next message."""
        body: Message = {"model": self._name, "messages": messages, "tools": TOOLS}
        if self._stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        request = urllib.request.Request(
            self._url,
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as response:
                message, usage = read_stream(response) if self._stream else read_whole(response)
        except urllib.error.HTTPError as error:
            raise AgentError(f"the model answered {error.code}: {_text(error)}") from error
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise AgentError(f"no answer from {self._url}: {error}") from error
        self._usages.append(usage)
        return message


def _text(error: urllib.error.HTTPError) -> str:
    return error.read(500).decode(errors="replace").replace("\n", " ")


def read_whole(response: IO[bytes]) -> tuple[Message, Usage | None]:
    """Return message and usage of an answer that is not streamed."""
    answer = json.load(response)
    return answer["choices"][0]["message"], answer.get("usage")


def read_stream(response: IO[bytes]) -> tuple[Message, Usage | None]:
    """Return message and usage of an answer in server-sent events."""
    text: list[str] = []
    calls: dict[int, Message] = {}
    usage: Usage | None = None
    done = False
    for line in response:
        done = done or line.strip() == b"data: [DONE]"
        if not line.startswith(b"data: ") or done:
            continue
        chunk = json.loads(line[6:])
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text.append(choice["delta"].get("content") or "")
            for part in choice["delta"].get("tool_calls") or ():
                _add_part(calls, part)
    if not done:
        raise ValueError("the stream broke off")
    message: Message = {"role": "assistant", "content": "".join(text) or None}
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message, usage


def _add_part(calls: dict[int, Message], part: Message) -> None:
    empty: Message = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
    call = calls.setdefault(part["index"], empty)
    call["id"] = part.get("id") or call["id"]
    for key in ("name", "arguments"):
        call["function"][key] += part.get("function", {}).get(key) or ""


def inside(root: Path, path: str) -> Path:
    """Return a path below the folder.

    Raises:
        ValueError: It leads out of the folder.
    """
    target = (root / path).resolve()
    if not target.is_relative_to(root.resolve()):
        raise ValueError(f"{path} is outside the folder")
    return target


def use_tool(root: Path, call: Message) -> str:
    """Return the result of a tool call; an error is text too, so that the model can correct it."""
    try:
        arguments = json.loads(call["function"]["arguments"] or "{}")
        match call["function"]["name"]:
            case "list_files":
                files = (p.relative_to(root) for p in root.rglob("*") if p.is_file())
                return "\n".join(sorted(str(p) for p in files if p.parts[0] != ".git"))
            case "read_file":
                return inside(root, arguments["path"]).read_text()
            case "write_file":
                target = inside(root, arguments["path"])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(arguments["content"])
                return f"wrote {arguments['path']}"
            case name:
                return f"error: there is no tool {name}"
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"error: {error}"


def work(model: Model, root: Path, prompt: str) -> str:
    """Return the model's last message, once it calls no more tools."""
    messages: list[Message] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": prompt},
    ]
    for _ in range(MAX_TURNS):
        message = model.answer(messages)
        messages.append(message)
        if not message.get("tool_calls"):
            return message.get("content") or ""
        for call in message["tool_calls"]:
            print(f"> {call['function']['name']} {call['function']['arguments'][:100]}")
            result = use_tool(root, call)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    raise AgentError(f"still not done after {MAX_TURNS} turns")


def main(argv: list[str] | None = None) -> int:
    """Run the agent in the current folder; return its exit code."""
    parser = argparse.ArgumentParser(description="A tiny coding agent.")
    parser.add_argument("prompt")
    parser.add_argument("--stream", action="store_true", help="ask for streamed answers")
    args = parser.parse_args(argv)
    try:
        base_url, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
        model = Model(base_url, key, os.environ["OPENAI_MODEL"], args.stream)
    except KeyError as error:
        print(f"environment variable {error.args[0]} is not set", file=sys.stderr)
        return 2
    try:
        print(work(model, Path.cwd(), args.prompt))
        return 0
    except AgentError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        print(model.report())


if __name__ == "__main__":
    sys.exit(main())

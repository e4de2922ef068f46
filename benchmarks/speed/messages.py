"""HTTP messages of the load: requests as SDKs write them, and answers of any framing."""

import itertools
import re
from collections.abc import Callable

import orjson

MODEL = "bench-model"
TIME = re.compile(rb'" t(\d+)"')
"""The nanoseconds of the monotonic clock at which an event was sent, in its text."""

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
    b"User-Agent: OpenAI/Python 2.1.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 2.1.0\r\n"
    b"X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n"
    b"X-Stainless-Runtime-Version: 3.11.7\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"
    b"Accept-Encoding: identity\r\n"
)
_IDS = b"X-Request-Id: %032x\r\nTraceparent: 00-%032x-%016x-01\r\n"
_TOOLS = ("read_file", "write_file", "list_files", "search", "run", "apply_patch", "fetch", "ask")
_NUMBER = b"0123456789"
_CODE = "def total(lines):\n    # one price for each\n    return sum(float(line.split('\\t')[1]) for line in lines)\n"


def chat(size: int, options: str = "", *, stream: bool = False) -> bytes:
    """Return the body of a chat request as an agent sends it: tools, and what it has called so far.

    Args:
        size: Bytes, about; below 700 as many as it takes.
        options: What the endpoint is to do, as its `_OPTIONS` reads it.
        stream: Whether events are asked for.
    """
    messages: list[object] = [{"role": "system", "content": "You edit code. Answer briefly."}]
    body = {
        "model": MODEL,
        "messages": messages,
        "tools": [_tool(name) for name in (_TOOLS if size > 10_000 else _TOOLS[:1])],
        "temperature": 0,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        "user": f"{_NUMBER.decode()}{options}",
    }
    room = size - len(orjson.dumps(body))
    for number in itertools.count():
        turn = _turn(number)
        room -= len(orjson.dumps(turn))
        if room < 0:
            break
        messages += turn
    room += len(orjson.dumps(turn))
    messages.append({"role": "user", "content": "x" * max(room - 32, 1)})
    return orjson.dumps(body)


def _tool(name: str) -> object:
    texts = {"type": "string", "description": f"What {name} works on, relative to the workspace."}
    properties = {"path": texts, "pattern": texts, "limit": {"type": "integer", "minimum": 1}}
    parameters = {"type": "object", "properties": properties, "required": ["path"]}
    function = {"name": name, "description": f"Does {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


def _turn(number: int) -> list[object]:
    name, call_id = _TOOLS[number % len(_TOOLS)], f"call_{number:024}"
    arguments = orjson.dumps({"path": f"src/part{number}.py", "limit": number}).decode()
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [asked, {"role": "tool", "tool_call_id": call_id, "content": _CODE * 3}]


def requests(
    body: bytes, *, key: str = "any", headers: dict[str, str] | None = None, ids: bool = False
) -> Callable[[], bytes]:
    """Return a function that returns the next request; each has a number of its own in its body.

    Args:
        body: As `chat` returns it.
        key: The bearer.
        headers: More headers.
        ids: Whether each head carries ids of its own besides.
    """
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = _HEAD % key.encode() + more.encode() + b"Content-Length: %d\r\n" % len(body)
    before, after = body.split(_NUMBER)
    numbers = itertools.count(1)

    def following() -> bytes:
        number = next(numbers)
        own = _IDS % (number, number, number) if ids else b""
        return b"%b%b\r\n%b%010d%b" % (head, own, before, number, after)

    return following


def content_length(head: bytes) -> int | None:
    """Return what a head states as the length of its body."""
    found = _LENGTH.search(head)
    return int(found[1]) if found else None


class AnswerReader:
    """One answer, fed with the bytes of a connection."""

    __slots__ = ("_chunked", "_last", "_left", "_rest", "done", "head", "status")

    def __init__(self) -> None:
        self.head = b""
        self.status = 0
        self.done = False
        self._chunked = self._last = False
        self._left: float = 0  # of the body, or of the chunk and the line end behind it
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return what the bytes add to the body."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self.head:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return b""
            self._begin(data[: end + 2])
            data = data[end + 4 :]
        if self._chunked:
            return self._chunks(data)
        self._left -= len(data)
        self.done = self._left <= 0
        return data

    def _begin(self, head: bytes) -> None:
        self.head, self.status = head, int(head[9:12])
        self._chunked = _CHUNKED.search(head) is not None
        if not self._chunked:
            length = content_length(head)
            self._left = float("inf") if length is None else length

    def _chunks(self, data: bytes) -> bytes:
        pieces, at = [], 0
        while at < len(data):
            if self._left:
                took = int(min(self._left, len(data) - at))
                pieces.append(data[at : at + int(min(took, max(self._left - 2, 0)))])
                at, self._left = at + took, self._left - took
                self.done = self._last and not self._left
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._rest = data[at:]
                break
            size = int(data[at:end], 16)
            self._last = size == 0
            at, self._left = end + 2, size + 2
        return b"".join(pieces)

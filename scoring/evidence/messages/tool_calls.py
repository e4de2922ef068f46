"""Which fragments of a chat stream are one tool call.

The rule, for the fragments at one index of one choice:

1. A fragment without a name goes on with the call.
2. A fragment with the call's own id goes on with it, whatever it repeats.
3. Another name begins a new call.
4. The same name begins a new call if the arguments so far are a whole JSON value; until then it goes on
   with the call, whatever its id is.
5. Once the id has changed within a call, an id says nothing: then what has no arguments of its own does not
   begin a call either.

So Gemini's OpenAI endpoint, Ollama and SGLang are counted right, which give every parallel call the index 0
(https://github.com/InternLM/lmdeploy/issues/3412), and so is a server that makes up an id, and repeats the
name, with every fragment (https://github.com/vllm-project/vllm/pull/23522). Two calls of one name at one
index, of which the first has no arguments at all, look like one.
"""

import re
from dataclasses import dataclass, field

_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'\\.|"', re.DOTALL)


class JsonProgress:
    """How far a JSON object or list has come that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._begun = self._in_text = self._escaped = False

    @property
    def is_whole(self) -> bool:
        """Whether the value has ended."""
        return self._begun and self._depth <= 0 and not self._in_text

    def add(self, piece: str) -> None:
        """Take the next piece."""
        if not piece:
            return
        at = 1 if self._escaped else 0
        self._escaped = False
        while at < len(piece):
            found = (_INSIDE if self._in_text else _OUTSIDE).search(piece, at)
            if found is None:
                # A piece may end between a backslash and what it escapes.
                self._escaped = self._in_text and piece.endswith("\\")
                return
            at, mark = found.end(), found[0]
            if mark == '"':
                self._in_text = not self._in_text
            elif mark in "{[":
                self._depth += 1
                self._begun = True
            elif mark in "}]":
                self._depth -= 1


@dataclass
class StreamedCall:
    """A tool call whose fragments may still come."""

    number: int
    """Of the answer's calls, from 1."""
    id: str | None = None
    name: str = ""
    """As far as it came before the arguments."""
    arguments: JsonProgress = field(default_factory=JsonProgress)
    ids_change: bool = False
    """Whether it came under several ids."""

    def goes_on_with(self, call_id: str | None, name: str, arguments: str) -> bool:
        """Return whether a fragment at the call's index is part of it."""
        if not name or not self.name or (call_id is not None and call_id == self.id):
            return True
        if name != self.name:
            return False
        return not self.arguments.is_whole or (self.ids_change and not arguments.strip())

    def take(self, call_id: str | None, name: str, arguments: str) -> None:
        """Take a fragment."""
        self.ids_change = self.ids_change or (None not in (call_id, self.id) and call_id != self.id)
        self.id = self.id or call_id
        self.name = self.name or name
        self.arguments.add(arguments)

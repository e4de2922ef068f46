"""Which messages of a call an earlier call of its run holds already: an agent repeats its whole history."""

from hashlib import sha256
from typing import NamedTuple

from cab.scoring.evidence.messages.model import (
    SaidCall,
    SaidMessage,
    SaidReasoning,
    SaidToolCall,
    SaidToolResult,
)


class Repeated(NamedTuple):
    """How a call goes on with an earlier one."""

    messages: int
    """How many messages at the beginning of its request are as there; 0 if none is."""
    key: str | None
    """The earlier call; None if none is."""


class History:
    """Compares each call of a run with all before it.

    Of the calls that share most of a beginning, it is the latest that counts, so that subagents, which
    take turns, go on with their own. Two messages are the same if they say the same: a model's
    reasoning is not compared, because agents leave it out when they repeat an answer.
    """

    def __init__(self) -> None:
        self._calls: dict[bytes, str] = {}
        """Digest of each beginning of a conversation -> the latest call that has it."""

    def add(self, key: str, said: SaidCall) -> Repeated:
        """Take the next call of the run.

        Args:
            key: What names it.
            said: What was said in it.

        Returns:
            How it goes on with an earlier one.
        """
        messages = said.request.messages if said.request else ()
        answer = said.answer.messages if said.answer else ()
        beginnings = _beginnings([*messages, *answer])
        found = Repeated(0, None)
        for count, digest in enumerate(beginnings[: len(messages)], 1):
            if digest not in self._calls:
                break
            found = Repeated(count, self._calls[digest])
        self._calls.update(dict.fromkeys(beginnings, key))
        return found


def _beginnings(messages: list[SaidMessage]) -> list[bytes]:
    digest = b""
    found: list[bytes] = []
    for message in messages:
        digest = sha256(digest + repr(_compared(message)).encode("utf-8", "replace")).digest()
        found.append(digest)
    return found


def _compared(message: SaidMessage) -> tuple[object, ...]:
    parts = [part for part in message.parts if not isinstance(part, SaidReasoning)]
    return message.speaker, *(_plain(part) for part in parts)


def _plain(part: object) -> object:
    # Arguments come back with other white space, and results under the name that the agent gives them.
    if isinstance(part, SaidToolCall):
        return "call", part.name, "".join(part.arguments.split())
    if isinstance(part, SaidToolResult):
        return "result", part.parts
    return part

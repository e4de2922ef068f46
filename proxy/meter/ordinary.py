"""Answers that end as most do, without what all the others need.

An `OrdinaryAnswer` says of a call what its `Outcome` says, where that is: complete, one finish reason, no
error, usage of the endpoint that adds up and needs no note. Of everything else there is none.
"""

from typing import NamedTuple

import orjson

from cab.proxy.meter.dialects.answer import Answer, tier_of
from cab.proxy.meter.dialects.ordinary import OrdinaryBody, ReadOrdinary
from cab.proxy.meter.json_values import MAX_MARKS, clean_or_none, is_object
from cab.proxy.meter.response.pass_through import MeterOutput
from cab.proxy.meter.response_meter import NOTHING, ResponseMeter
from cab.proxy.meter.usage.ordinary import ordinary_usage

MAX_BYTES = MAX_MARKS
"""A larger body may have too many values to be parsed; what reads all answers looks at that first."""

_MAX_CHUNKS = 64
"""Of an answer in more pieces each byte would take up many."""
_END = MeterOutput(b"", terminal=True)


class OrdinaryAnswer(NamedTuple):
    """What is known of a call whose answer is an ordinary one."""

    said: OrdinaryBody
    first_delta_ns: int | None
    """As in `Outcome`."""
    last_byte_ns: int | None
    response_bytes: int


class OrdinaryReader:
    """Takes a body in one piece for as long as it may be an ordinary answer.

    It gives out what a `ResponseMeter` gives out of the same bytes, and makes one where it turns out that
    the answer is another.

    Args:
        read: Reads the dialect's objects.
        content_length: As the head states it; None if it does not.
        limit_bytes: A larger body is not read here.
        hold: Whether the last chunk is kept inside until `release`.
    """

    __slots__ = (
        "_chunks",
        "_finished_ns",
        "_held",
        "_hold",
        "_is_ended",
        "_length",
        "_limit_bytes",
        "_read",
        "_received_bytes",
        "_released",
    )

    def __init__(
        self, read: ReadOrdinary, content_length: int | None, limit_bytes: int, *, hold: bool
    ) -> None:
        self._read = read
        self._length = content_length
        self._limit_bytes = min(limit_bytes, MAX_BYTES)
        self._hold = hold
        self._chunks: list[tuple[bytes, int]] = []
        self._received_bytes = 0
        self._held = b""
        self._is_ended = self._released = False
        self._finished_ns: int | None = None

    def feed(self, chunk: bytes, at_ns: int) -> MeterOutput | None:
        """Return what may be sent at once; None if the chunk was not taken: the answer is no ordinary one.

        Args:
            chunk: The next bytes, at least one.
            at_ns: When they came.
        """
        received = self._received_bytes + len(chunk)
        if not self._chunks and chunk[0] != _BRACE:
            return None
        if self._is_ended or received > self._limit_bytes or len(self._chunks) >= _MAX_CHUNKS:
            return None
        self._received_bytes = received
        self._chunks.append((chunk, at_ns))
        if self._length is None or received < self._length:
            return MeterOutput(chunk, terminal=False)
        self._is_ended = True
        if not self._hold:
            return MeterOutput(chunk, terminal=True)
        self._held = chunk
        return _END

    def finish(self, at_ns: int) -> MeterOutput | None:
        """Return what may be sent at the end; None if nothing has come: that is no ordinary answer."""
        if not self._chunks:
            return None
        self._finished_ns = at_ns
        if self._is_ended:
            return NOTHING
        self._is_ended = True
        return _END

    def release(self) -> bytes:
        """Return what was kept inside."""
        held, self._held = self._held, b""
        self._released = self._released or self._is_ended
        return held

    def answer(self) -> OrdinaryAnswer | None:
        """Return what the answer says; None if it is not over, or no ordinary one."""
        if not self._is_ended:
            return None
        text = (
            self._chunks[0][0] if len(self._chunks) == 1 else b"".join(c for c, _ in self._chunks)
        )
        try:
            data: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        body = self._read(data) if is_object(data) else None
        if body is None:
            return None
        return OrdinaryAnswer(body, None, self._chunks[-1][1], self._received_bytes)

    def replay(self, full: ResponseMeter) -> None:
        """Have another meter take all that has come: its output is what was given out."""
        for chunk, at_ns in self._chunks:
            full.feed(chunk, at_ns)
        if self._finished_ns is not None:
            full.finish(self._finished_ns)
        if self._released:
            full.release()


_BRACE = ord("{")


def ordinary_stream(
    answer: Answer, last_byte_ns: int | None, response_bytes: int
) -> OrdinaryAnswer | None:
    """Return what an answer says that was read as a stream, or by all rules; None if it is not ordinary.

    Args:
        answer: All of it, of status 200.
        last_byte_ns: When its last byte came.
        response_bytes: Its size.
    """
    raw = answer.usage_raw
    if raw is None or not answer.complete or answer.deferred or len(answer.finish_reasons) != 1:
        return None
    if (answer.error, answer.finish_error, answer.usage_conflict) != (None, None, None):
        return None
    usage = ordinary_usage(raw, answer.read_usage)
    if usage is None:
        return None
    [finish] = answer.finish_reasons.values()
    names = answer.model_served, answer.upstream_id, answer.system_fingerprint, finish
    model, own_id, fingerprint, reason = map(clean_or_none, names)
    tier = clean_or_none(tier_of(answer.service_tier, raw))
    facts = usage, raw, answer.tool_calls, tier
    body = OrdinaryBody(model, own_id, fingerprint, reason or finish, *facts)
    return OrdinaryAnswer(body, answer.first_delta_ns, last_byte_ns, response_bytes)

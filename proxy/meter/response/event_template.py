"""Events of a stream that differ from an earlier one in nothing but a piece of the answer's text.

Most events of a stream do: the same object with another word in it. One that is known by its bytes need not
be parsed. Besides the text a number that counts the events, and padding, may differ: no dialect reads them.
"""

import re
from typing import NamedTuple

from cab.proxy.meter.json_values import JsonObject

MAX_EVENT_BYTES = 1 << 14
"""A larger event is parsed: that costs little for each of its bytes."""
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*+')
"""What of a JSON string stands for itself."""
_NOT_PLAIN = bytes([*range(0x20), *b'"\\'])
"""The other characters."""
_NUMBER = re.compile(rb"(?:0|[1-9][0-9]{0,14})(?![0-9.eE])")
_COUNTING, _PADDING = "sequence_number", "obfuscation"


class _Hole(NamedTuple):
    """A value that may differ, and the bytes behind it."""

    pattern: re.Pattern[bytes]
    is_text: bool
    behind: bytes


class EventTemplate:
    """What all events are that differ from one in its text only.

    Args:
        raw: All bytes of the event, its blank line included.
        sent: What of it goes to the client: the same, or without one piece of it.
        data: The event's data.
        text: The piece of text in it; it is not empty.

    Raises:
        ValueError: The text cannot be told from the rest by its bytes.
    """

    __slots__ = ("_before", "_cut", "_holes", "_only_behind")

    def __init__(self, raw: bytes, sent: bytes, data: JsonObject, text: str) -> None:
        if b"\\" in raw:
            raise ValueError("with escapes, the text may stand elsewhere than where it is found")
        places = [(*_place(raw, b'"%b"' % _plain(text), 1), True)]
        padding, counting = data.get(_PADDING), data.get(_COUNTING)
        if isinstance(padding, str):
            needle = b'"%b":"%b"' % (_PADDING.encode(), _plain(padding))
            _, end = _place(raw, needle, 1)
            places.append((end - len(padding.encode()), end, False))
        if type(counting) is int and counting >= 0:
            needle = b'"%b":%d' % (_COUNTING.encode(), counting)
            _, end = _place(raw, needle, 0)
            places.append((end - len(str(counting)), end, False))
        places.sort()
        self._before = raw[: places[0][0]]
        self._holes: list[_Hole] = []
        for (_, end, is_text), following in zip(
            places, [*(place[0] for place in places[1:]), len(raw)], strict=True
        ):
            if following < end:
                raise ValueError("the values overlap")
            is_number = raw[end : end + 1] != b'"'
            hole = _Hole(_NUMBER if is_number else _PLAIN, is_text, raw[end:following])
            self._holes.append(hole)
        self._cut = _cut(raw, sent, [place[:2] for place in places])
        is_simple = len(self._holes) == 1 and self._cut is None
        self._only_behind = self._holes[0].behind if is_simple else None

    def match(self, event: bytes) -> tuple[bytes, bytes] | None:
        """Return the text of an event in UTF-8, and what of it goes to the client; None if it is another one."""
        if not event.startswith(self._before) or len(event) > MAX_EVENT_BYTES:
            return None
        at, text, starts = len(self._before), b"", [0]
        if (
            self._only_behind is not None
        ):  # nearly always: what is known stands before the text and behind it
            end = len(event) - len(self._only_behind)
            text = event[at:end]
            like = end >= at and event.endswith(self._only_behind)
            if not like or len(text.translate(None, _NOT_PLAIN)) < len(text):
                return None
            return (text, event) if text.isascii() or _is_utf8(text) else None
        for pattern, is_text, behind in self._holes:
            found = pattern.match(event, at)
            if found is None or not event.startswith(behind, found.end()):
                return None
            if is_text:
                text = found[0]
            starts.append(found.end())
            at = found.end() + len(behind)
        if at != len(event) or not (text.isascii() or _is_utf8(text)):
            return None
        return text, event if self._cut is None else self._sent(event, starts)

    def _sent(self, event: bytes, starts: list[int]) -> bytes:
        part, offset, length = self._cut or (0, 0, 0)
        start = starts[part] + offset
        return event[:start] + event[start + length :]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _plain(text: str) -> bytes:
    """Return a text as it stands in JSON.

    Raises:
        ValueError: It does not stand for itself there.
    """
    plain = text.encode()  # a lone half of a surrogate pair is a ValueError
    if _PLAIN.fullmatch(plain) is None:
        raise ValueError("the text is written with escapes")
    return plain


def _place(raw: bytes, needle: bytes, quotes: int) -> tuple[int, int]:
    """Return where a value stands, without its quotes.

    Raises:
        ValueError: It stands nowhere, or twice.
    """
    if raw.count(needle) != 1:
        raise ValueError("the value is not unique")
    start = raw.index(needle)
    return start + quotes, start + len(needle) - quotes


def _cut(raw: bytes, sent: bytes, places: list[tuple[int, int]]) -> tuple[int, int, int] | None:
    """Return which piece of an event does not go to the client: the part, the offset in it, the length.

    Raises:
        ValueError: It is more than one piece, or a part of a value that may differ.
    """
    if sent == raw:
        return None
    length = len(raw) - len(sent)
    start = next((i for i, (a, b) in enumerate(zip(raw, sent, strict=False)) if a != b), len(sent))
    while start >= 0 and raw[:start] + raw[start + length :] != sent:
        start -= 1
    if length <= 0 or start < 0:
        raise ValueError("what is sent is not the event without a piece")
    begins = [0, *(end for _, end in places)]
    ends = [*(begin for begin, _ in places), len(raw)]
    for part, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if begin <= start and start + length <= end:
            return part, start - begin, length
    raise ValueError("the piece is part of a value that may differ")

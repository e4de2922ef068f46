"""Whether an endpoint refuses to be asked for usage in a stream, by where its error points.

Servers repeat what they were sent, `stream_options` included, in errors that have other causes. So a
mention counts only where the error names what it objects to: in `param` or `loc`, or next to a word
such as "unknown". Wordings: openai/openai-python#1469 and #2296, vercel/ai#1578, FlowiseAI/Flowise#2866,
modelscope/ms-agent#489, dnakov/anon-kode#53; an unrelated error with an echo: gpustack/gpustack#429.
"""

import re

from cab.proxy.meter.error_body import error_in, error_in_text
from cab.proxy.meter.json_values import as_list, is_object, parse_object
from cab.proxy.meter.response.sse import SseEvent, SseReader

REFUSING_STATUSES = frozenset((400, 422, 500, 502))
"""Gateways wrap an endpoint's 400 into a 500 or a 502."""
_POINTERS = frozenset(("param", "params", "loc", "field", "path", "property", "argument"))
_ECHOES = frozenset(("input", "input_value", "body", "request", "ctx"))
# A name that is followed by a quote and a colon is a member of something repeated.
_NAME = r"(?:stream_options|include_usage)(?!\w)(?!['\"\\]+\s*[:=])"
_OBJECTION = (
    r"(?:unsupported|unknown|unrecogni[sz]ed|unexpected|extra|invalid|forbidden"
    r"|not (?:be )?(?:supported|permitted|allowed|recogni[sz]ed|accepted))"
)
_POINTS = re.compile(
    rf"{_OBJECTION}[^{{}}\[\]]{{0,80}}?{_NAME}|{_NAME}[^{{}}\[\]]{{0,80}}?{_OBJECTION}"
    rf"|(?:param|loc)['\"\\]*\s*[:=][\s(\['\"\\]*(?:body[\s,'\"\\]+)?{_NAME}",
    re.IGNORECASE,
)
_EXTRA = re.compile(
    r"extra (?:inputs?|fields?|parameters?|properties) (?:are |is )?(?:not |forbidden)",
    re.IGNORECASE,
)
_NAMES_A_FIELD = re.compile(r"['\"`]\w|#/|\n[^\S\n]*+\S")


def stated_error(status: int, body: bytes) -> bytes | None:
    """Return the text of the error in the beginning of an answer to a request for a stream.

    Args:
        status: Its HTTP status.
        body: Its body, decoded, as far as it is known.

    Returns:
        The text; `None` if the answer is no error, or does not begin with one.
    """
    if status >= 400:
        return body
    event = first_event(body)
    if event is None:  # some endpoints answer a request for a stream with JSON
        data = parse_object(body)
        return None if data is None or error_in(data) is None else body
    data = parse_object(event.data)
    if data is None:
        stated = error_in_text(event.data, named=event.name == b"error") is not None
    else:
        stated = event.name == b"error" or error_in(data) is not None
    return event.data if stated else None


def first_event(body: bytes) -> SseEvent | None:
    """Return the first event of a stream, `None` if it has not come whole."""
    return next(iter(SseReader(len(body)).feed(body)), None)


def refuses_usage(text: bytes) -> bool:
    """Return whether an error objects to `stream_options`, or to an extra field that it does not name."""
    data = parse_object(text)
    found = _Statements()
    try:
        found.read(text.decode(errors="replace") if data is None else data)
    except RecursionError:
        return False
    unnamed = found.extra and not found.names_a_field
    return found.points or unnamed


class _Statements:
    """What the parts of an error say, but for what they repeat."""

    def __init__(self) -> None:
        self.points = False
        """Whether one objects to `stream_options`."""
        self.extra = False
        """Whether one objects to an extra field."""
        self.names_a_field = False

    def read(self, value: object, key: str = "") -> None:
        """Read a value of the error, and all inside it."""
        if key in _POINTERS and value:
            self.names_a_field = True
            self.points |= re.search(_NAME, str(value)) is not None
        elif is_object(value):
            for name, inner in value.items():
                if name not in _ECHOES:
                    self.read(inner, name)
        elif isinstance(value, str):
            self._read_text(value)
        for inner in as_list(value):
            self.read(inner)

    def _read_text(self, text: str) -> None:
        self.points |= _POINTS.search(text) is not None
        if _EXTRA.search(text):
            self.extra = True
            self.names_a_field |= _NAMES_A_FIELD.search(text) is not None

"""The forms in which a known secret may stand in a text, and where it does.

Found are: the secret in letters of either case, broken by white space, percent-encoded, with JSON's
escapes, and in Base64 at each of the three places where it may begin there. To find them all with one
look, text and secret are made *plain*: escapes are resolved, white space is left out, letters are lower
case, and the two alphabets of Base64 are one.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

_SPACE = b" \t\n\r\v\f"
_FOLD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", b"abcdefghijklmnopqrstuvwxyz+/")
ESCAPE = re.compile(rb"\\++(?:u00([0-9A-Fa-f]{2})|[nrtbf]|)|%(?:25)*([0-9A-Fa-f]{2})")
_TORN_ESCAPE = re.compile(rb"(?:\\++(?:u0{0,2}[0-9A-Fa-f]?)?|%(?:25)*+[0-9A-Fa-f]?)\Z")
_LONGEST_TORN_BYTES = 16
_LEAST_BYTES = 8


def as_bytes(text: str) -> bytes:
    """Return a text as UTF-8; bytes of a header that are none come out as they went in."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def plain(data: bytes) -> bytes:
    """Return what is compared: without escapes and white space, in one case."""
    if b"\\" in data or b"%" in data:
        data = ESCAPE.sub(_resolved, data)
    return folded(data)


@lru_cache(maxsize=256)
def plain_forms(secret: str) -> frozenset[bytes]:
    """Return a secret's plain forms: itself, and in Base64."""
    raw = as_bytes(secret)
    forms = {plain(raw)}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        # Left out are the characters that what stands before or behind has a part in.
        inner = encoded[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        forms.add(inner.translate(_FOLD))
    return frozenset(form for form in forms if len(form) >= _LEAST_BYTES)


def holds(data: bytes, forms: Sequence[bytes]) -> bool:
    """Return whether plain data hold one of the forms, which come shortest first."""
    size_bytes = len(data)
    for form in forms:
        if len(form) > size_bytes:
            return False
        if form in data:
            return True
    return False


def ends_with_part(data: bytes, forms: Sequence[bytes]) -> bool:
    """Return whether plain data end with the beginning of a form, as what was cut off there would."""
    return any(_begun(data, form) for form in forms)


def folded(data: bytes) -> bytes:
    """Return data that hold no escape as they are compared."""
    return data.translate(_FOLD, _SPACE)


def torn_escape_at(data: bytes) -> int:
    """Return where the beginning of an escape stands at the end of data; their size if there is none."""
    torn = _TORN_ESCAPE.search(data, max(0, len(data) - _LONGEST_TORN_BYTES))
    return len(data) if torn is None else torn.start()


def without_torn_escape(data: bytes) -> bytes:
    """Return data without the beginning of an escape at their end."""
    return data[: torn_escape_at(data)]


def blanked(data: bytes, forms: Sequence[bytes], mark: bytes, *, cut: bool) -> bytes:
    """Return data with a mark in place of each form.

    Args:
        data: As they are, not plain.
        forms: What to take out.
        mark: What stands there afterwards.
        cut: Whether the beginning of a form at the end is taken out too.
    """
    folded, starts, ends = _mapped(data)
    found = sorted(_spans(folded, forms, cut=cut))
    out, at = bytearray(), 0
    for first, last in found:
        start, end = starts[first], ends[last]
        if end <= at:
            continue
        if start >= at:
            out += data[at:start] + mark
        at = end
    return bytes(out + data[at:])


def _resolved(match: re.Match[bytes]) -> bytes:
    digits = match[1] or match[2]
    return bytes([int(digits, 16)]) if digits else b""


def _mapped(data: bytes) -> tuple[bytes, list[int], list[int]]:
    """Return data made plain, and for each byte of that where it began and ended."""
    folded, starts, ends = bytearray(), list[int](), list[int]()

    def take(byte: bytes, start: int, end: int) -> None:
        kept = byte.translate(_FOLD, _SPACE)
        if kept:
            folded.extend(kept)
            starts.append(start)
            ends.append(end)

    at = 0
    for match in ESCAPE.finditer(data):
        for place in range(at, match.start()):
            take(data[place : place + 1], place, place + 1)
        take(_resolved(match), *match.span())
        at = match.end()
    for place in range(at, len(data)):
        take(data[place : place + 1], place, place + 1)
    return bytes(folded), starts, ends


def _spans(data: bytes, forms: Sequence[bytes], *, cut: bool) -> Iterator[tuple[int, int]]:
    """Yield first and last byte of each form in plain data."""
    for form in forms:
        at = data.find(form)
        while at >= 0:
            yield at, at + len(form) - 1
            at = data.find(form, at + len(form))
        if cut and (size := _begun(data, form)):
            yield len(data) - size, len(data) - 1


def _begun(data: bytes, form: bytes) -> int:
    """Return how many bytes at the end are the beginning of a form, 0 if too few to tell."""
    if form[:_LEAST_BYTES] not in data[1 - len(form) :]:
        return 0
    sizes = range(len(form) - 1, _LEAST_BYTES - 1, -1)
    return next((size for size in sizes if data.endswith(form[:size])), 0)

r"""The request hash: SHA-256 of a canonical form of the body, the same for every sender's layout.

The canonical form of a JSON text is the JSON text with
- no white space between tokens,
- the members of every object in ascending order of their names' code points,
- every string in UTF-8 with the fewest escapes: `\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, and
  `\u00xx` in lower case for the other characters below U+0020,
- every number as it was written, so that `1`, `1.0` and `1e0` differ and no digit is lost.

A body without such a form is hashed as it is, byte for byte: one that is not JSON (RFC 8259, UTF-8, no
byte order mark), that repeats a member name, holds half of a surrogate pair, is nested deeper than 254
levels, or is large: see `is_large`. `docs/request-hash.md` has test vectors.
"""

import hashlib
import json
from collections import Counter
from typing import NoReturn

import orjson

from cab.proxy.meter.json_values import has_many_values

MAX_CANONICAL_BYTES = 8 << 20


def is_large(body: bytes) -> bool:
    """Return whether a body is too large for a canonical form.

    That is over 8 MiB, or with more than 262,144 bytes among `[`, `{` and `,`, wherever they stand.
    """
    return len(body) > MAX_CANONICAL_BYTES or has_many_values(body)


def request_hash(body: bytes) -> str | None:
    """Return `sha256:` and the hex digest of the body's canonical form, `None` for an empty body."""
    return hash_of(body, canonical_json(body))


def hash_of(body: bytes, canonical: bytes | None) -> str | None:
    """Return the hash of a body whose canonical form is known, `None` if it has none."""
    if not body:
        return None
    return "sha256:" + hashlib.sha256(body if canonical is None else canonical).hexdigest()


class BadJson(ValueError):
    """A text that is not JSON as RFC 8259 has it."""


class RepeatedMember(ValueError):
    """An object that names a member twice: readers differ in which of them counts."""


def canonical_json(body: bytes) -> bytes | None:
    """Return the canonical form of a JSON text, or `None` if it has none."""
    if is_large(body):
        return None
    if (plain := plain_json(body)) is not None:
        return plain[1]
    try:
        return canonical_form(strict_json(body))
    except (BadJson, RepeatedMember):
        return None


def canonical_form(value: object) -> bytes | None:
    """Return the canonical form of what `strict_json` returned, or `None` if it has none."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # half a surrogate pair, too deep a nesting
        return None


def plain_json(text: bytes) -> tuple[object, bytes] | None:
    """Return the value and the canonical form of a JSON text that is written as most clients write it.

    That is without white space, each number and each string in its shortest form, and no member
    twice: the text is then what its own value is written as. None for every other text; it may be
    JSON all the same. Ten times as fast as `strict_json`.
    """
    try:
        value: object = orjson.loads(text)
        if orjson.dumps(value) != text:
            return None
        return value, orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def strict_json(text: bytes) -> object:
    """Return the value of a JSON text in UTF-8, its numbers as they were written.

    Raises:
        BadJson: It is none.
        RepeatedMember: A member is named twice.
    """
    try:
        return json.loads(
            text.decode(),
            parse_float=orjson.Fragment,
            parse_int=orjson.Fragment,
            parse_constant=_reject,
            object_pairs_hook=_unique,
        )
    except RepeatedMember:
        raise
    except (ValueError, RecursionError) as error:
        raise BadJson(str(error)) from error


def json_fault(text: bytes) -> str | None:
    """Return why a text is not JSON that all readers take in the same way; None if it is.

    >>> json_fault(b'{"type": "a", "type": "b"}')
    'the member `type` is repeated'
    """
    try:
        strict_json(text)
    except (BadJson, RepeatedMember) as error:
        return str(error)
    return None


def _reject(constant: str) -> NoReturn:
    raise BadJson(f"{constant} is not valid JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        counted = Counter(name for name, _ in pairs)
        [(twice, _)] = counted.most_common(1)
        raise RepeatedMember(f"the member `{twice[:40]}` is repeated")
    return members

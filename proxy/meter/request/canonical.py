r"""The request hash: SHA-256 of a canonical form of the body, the same for every sender's layout.

The canonical form of a JSON text is the JSON text with
- no white space between tokens,
- the members of every object in ascending order of their names' code points,
- every string in UTF-8 with the fewest escapes: `\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, and
  `\u00xx` in lower case for the other characters below U+0020,
- every number as it was written, so that `1`, `1.0` and `1e0` differ and no digit is lost.

A body without such a form is hashed as it is, byte for byte: one that is not JSON (RFC 8259, UTF-8, no
byte order mark), that repeats a member name, holds half of a surrogate pair, or is nested deeper than
254 levels. `docs/request-hash.md` has test vectors.
"""

import hashlib
import json
from typing import NoReturn

import orjson


def request_hash(body: bytes) -> str | None:
    """Return `sha256:` and the hex digest of the body's canonical form, `None` for an empty body."""
    if not body:
        return None
    canonical = canonical_json(body)
    return "sha256:" + hashlib.sha256(body if canonical is None else canonical).hexdigest()


def canonical_json(body: bytes) -> bytes | None:
    """Return the canonical form of a JSON text, or `None` if it has none."""
    try:
        value = json.loads(
            body.decode(),
            parse_float=orjson.Fragment,
            parse_int=orjson.Fragment,
            parse_constant=_reject,
            object_pairs_hook=_unique,
        )
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    # Half a surrogate pair and too deep a nesting show only while writing.
    except (ValueError, orjson.JSONEncodeError, RecursionError):
        return None


def json_fault(text: bytes) -> str | None:
    """Return why a text is not JSON that all readers take in the same way; None if it is.

    >>> json_fault(b'{"type": "a", "type": "b"}')
    'a member name is repeated'
    """
    try:
        json.loads(
            text.decode(),
            parse_float=str,
            parse_int=str,
            parse_constant=_reject,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return str(error)
    return None


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not valid JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name is repeated")
    return members

"""What in a request may be a secret: it must not reach a record or a log."""

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice

from multidict import CIMultiDictProxy

from cab.proxy.auth.attribution import Target
from cab.proxy.auth.cell_keys import is_ours
from cab.proxy.http.headers import CREDENTIALS, may_hold_secret
from cab.proxy.redaction.key_shapes import is_random

_PARTS = re.compile(r"[\s;,\"'=]+")
_KEY_HEADERS = frozenset({*CREDENTIALS, "proxy-authorization", "cookie"})
_MAX_TEXTS = 64
_MAX_CHARS = 1 << 12
"""No key is longer; and a client must not make much work before it is known."""


def sent_secrets(headers: CIMultiDictProxy[str], target: Target) -> set[str]:
    """Return the credentials in a request's head, whole and in parts.

    What headers and parameters hold whose names only tell of a key, such as `X-My-Token`, is one if it
    looks random: a model's name or a word must not become a secret.
    """
    return {text[:_MAX_CHARS] for text in islice(_credentials(headers, target), _MAX_TEXTS)}


def _credentials(headers: CIMultiDictProxy[str], target: Target) -> Iterator[str]:
    yield target.query_key or ""
    if target.path_key is not None and is_ours(target.path_key):
        yield target.path_key  # else it is a cell's id, which is not secret
    telling: list[str] = []
    for name, value in headers.items():
        if name.lower() in _KEY_HEADERS:
            yield from _forms(value[:_MAX_CHARS])
        elif may_hold_secret(name):
            telling.append(value[:_MAX_CHARS])
    for parameter in target.path_qs.partition("?")[2].split("&", _MAX_TEXTS):
        name, _, value = parameter.partition("=")
        if may_hold_secret(name):
            telling.append(value[:_MAX_CHARS])
    for value in telling[:_MAX_TEXTS]:
        yield from (part for part in _PARTS.split(value) if is_random(part))


def _forms(value: str) -> Iterator[str]:
    """Yield a header's value, its parts, and what it holds in Base64 as Basic credentials do."""
    yield value.strip()
    scheme, _, rest = value.strip().partition(" ")
    yield rest.strip()
    yield from (part for part in _PARTS.split(value) if part)
    if scheme.lower() == "basic":
        try:
            user_and_password = base64.b64decode(rest.strip(), validate=True).decode()
        except (binascii.Error, UnicodeError):
            return
        yield user_and_password
        yield user_and_password.partition(":")[2]

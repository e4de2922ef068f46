"""What in a request may be a secret: it must not reach a record or a log."""

import base64
import binascii
import re
from collections.abc import Iterator

from multidict import CIMultiDictProxy

from cab.proxy.auth.attribution import Target
from cab.proxy.auth.cell_keys import is_ours
from cab.proxy.http.headers import CREDENTIALS, may_hold_secret

_PARTS = re.compile(r"[\s;,\"'=]+")


def sent_secrets(headers: CIMultiDictProxy[str], target: Target) -> set[str]:
    """Return all texts of a request's head that may be a secret, whole and in parts."""
    found = {target.query_key or ""}
    if target.path_key is not None and is_ours(target.path_key):
        found.add(target.path_key)  # else it is a cell's id, which is not secret
    _, _, query = target.path_qs.partition("?")
    for parameter in query.split("&") if query else ():
        name, _, value = parameter.partition("=")
        if may_hold_secret(name):
            found.add(value)
    for name, value in headers.items():
        if name.lower() in CREDENTIALS or may_hold_secret(name):
            found.update(_forms(value))
    return found


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

"""URLs of databases: what they may hold, and what of them is shown. A password is never a part of one."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from cab.proxy.errors import BadConfig

_FORM = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\[.*?\]")
_LEDGER = "ledger"
_SECRETS = frozenset({"password", "sslpassword"})
_FIX = "set PGPASSWORD, or keep it in a passfile (PGPASSFILE, or ~/.pgpass)"


class DatabaseAddress(NamedTuple):
    """A database, and which ledger in it."""

    url: str
    """As libpq takes it."""
    ledger: str | None
    """Beginning of a ledger's id, or its name, from `?ledger=`; None: the only one."""
    shown: str
    """The URL without what only the server needs to know: for messages."""


def _is_port(text: str) -> bool:
    """Return whether libpq takes a text as a port, or as one for each of several hosts."""
    each = text.split(",")
    return all(not one or (one.isdecimal() and 0 < int(one) < 1 << 16) for one in each)


def is_database(text: str) -> bool:
    """Return whether a text is the URL of a database."""
    return _FORM.match(text) is not None


def database_of(url: str) -> DatabaseAddress:
    """Return the database that a URL names.

    Raises:
        BadConfig: It is not such a URL, or it holds a password.
    """
    if not is_database(url):
        raise BadConfig(
            "what was given is not a URL of a database; give postgresql://HOST/DATABASE"
        )
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        user, _, host = parts.netloc.rpartition("@")
    except ValueError as error:
        raise BadConfig(f"the database's URL is not valid: {error}") from error
    if ":" in user or any(unquote(name).lower() in _SECRETS for name, _ in query):
        raise BadConfig(
            f"the database's URL holds a password, which all users of this machine can read in the list "
            f"of processes; take it out, and {_FIX}"
        )
    ports = [_IN_BRACKETS.sub("", each).partition(":")[2] for each in host.split(",")]
    for port in filter(None, [*ports, *(value for name, value in query if name == "port")]):
        if not _is_port(port):
            raise BadConfig(f"the database's URL names the port {port}; give one from 1 to 65535")
    ledger = next((value for name, value in query if name == _LEDGER), None)
    kept = [(name, value) for name, value in query if name != _LEDGER]
    others = urlencode(kept, quote_via=quote)  # libpq takes "+" as it stands
    cleaned = f"postgresql://{parts.netloc}{parts.path}{f'?{others}' if others else ''}"
    return DatabaseAddress(cleaned, ledger, f"postgresql://{host}{parts.path}")

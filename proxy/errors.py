"""Errors of the proxy; each names the thing and the fix in one line.

CabProxyError
├── BadConfig       a setting, a flag or a file is wrong: exit code 2
├── BadKey          a per-cell key is not ours, has expired or is revoked: 401
├── LedgerFailed    the ledger cannot be written: 503 before anything is forwarded
├── NotInDatabase   a database does not have the ledger, or the cells, that were asked for
├── ProxyRefused    a proxy cannot be reached, or does not do what it is asked; `.address`, `.code`
├── Rejected        a cell may make no call now: a limit, a seal, or no cell registry to ask
└── SinkFailed      what a ledger is shipped to takes nothing now
    └── PositionMoved  another shipper has got on meanwhile
"""

import difflib
from collections.abc import Iterable


class CabProxyError(Exception):
    """Base of the proxy's errors."""

    status = 500
    """HTTP status that a client is answered with."""


class BadConfig(CabProxyError):
    """A setting that cannot be used."""


class BadKey(CabProxyError):
    """A per-cell key that is not valid."""

    status = 401


class LedgerFailed(CabProxyError):
    """The ledger could not take a record."""

    status = 503


class ProxyRefused(CabProxyError):
    """A running proxy that does not do what it is asked."""

    def __init__(self, address: str, reason: str, code: str | None = None) -> None:
        super().__init__(f"proxy {address}: {reason}")
        self.address = address
        self.code = code
        """The error's code as the control API names it; None where there was none."""


class Rejected(CabProxyError):
    """A call that its cell may not make."""

    def __init__(
        self,
        code: str,
        message: str,
        queued_ms: float = 0.0,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.queued_ms = queued_ms
        """How long it had waited for room."""
        self.retry_after_s = retry_after_s
        """After how many seconds there may be room; None: that is not known, or never."""


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known name that was probably meant; None if none is near.

    Args:
        name: What was given.
        known: The names to choose from.
        likeness: Least ratio of common characters, 0 to 1.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return near[0] if near else None


def not_a_choice(value: object, choices: Iterable[object]) -> str:
    """Return the message for a value that is not one of the choices."""
    words = [str(choice) for choice in choices]
    near = nearest(str(value), words)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{str(value)!r} is not one of: {', '.join(words)}{hint}"

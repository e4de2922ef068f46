"""What lines are shipped to: the protocol of a sink, and how the sink of a URL is found.

A package brings its own sink by an entry point of the group `cab.sinks`, whose name is the scheme of the
URLs that it takes. docs/postgres.md has an example.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple, Protocol, cast

from cab.proxy.errors import BadConfig, CabProxyError
from cab.scoring.introspection.entry_points import find_extensions

GROUP = "cab.sinks"
"""Group of the entry points of sinks."""
BUILT_IN = ("postgresql", "postgres")
"""Schemes of the sink that comes with CAB."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


class SinkFailed(CabProxyError):
    """A sink that takes nothing now: it is away, full or busy. The same lines are sent again later."""

    status = 503


class PositionMoved(SinkFailed):
    """Another shipper has moved a chain's position: reading goes on from there."""


class ChainIdentity(NamedTuple):
    """Which chain of which ledger."""

    ledger: str
    """Hash of the chain's first record, 64 hex digits: `w0` begins anew in each folder, this does not."""
    chain: str
    """Its name, such as `w0`."""
    folder: str
    """`ledger` of the folder's first chain: chains with the same one are one ledger."""
    name: str
    """What people call the ledger, by default the name of its folder."""


class ShipPosition(NamedTuple):
    """The last line of a chain that a sink has; nothing behind it was sent."""

    segment: int
    """Number of its segment, 1-based."""
    line: int
    """Its 1-based number there; 0: the segment is there, and no line of it was sent."""
    begin: int
    """Where the line begins, in bytes of the plain segment."""
    end: int
    """Where it ends, newline included."""
    sha256: str
    """Of its bytes (of its last part, if it has several), 64 hex digits; empty where `line` is 0."""


class ShippedLine(NamedTuple):
    """A line, or a part of one that is longer than any that a reader takes."""

    segment: int
    line: int
    part: int
    """0 for the first part, which is the whole line but for those of more than 16 MiB."""
    raw: bytes
    """Its bytes as they stand in the segment, newline included."""
    is_whole: bool
    """Whether it is a whole line: not one of several parts, and not cut off."""


class LedgerSink(Protocol):
    """Takes lines. What is stored together with a position is there together with it, or not at all.

    Every method may raise `SinkFailed`; the shipper waits, calls `close`, and opens the sink anew.
    """

    def known_ledger(self, chain: str, segment: int, first_line: bytes) -> str | None:
        """Return the `ledger` of a chain whose first segment is gone, by another line that was sent."""
        ...

    def position(self, identity: ChainIdentity) -> ShipPosition | None:
        """Return how far a chain was sent; None if nothing of it was."""
        ...

    def store(
        self,
        identity: ChainIdentity,
        lines: Sequence[ShippedLine],
        before: ShipPosition | None,
        after: ShipPosition | None,
    ) -> None:
        """Store lines, and the position behind them, in one step. A line that is there already stays.

        Args:
            identity: The chain.
            lines: In the order of the chain; may be empty.
            before: The position that was read, None if there was none.
            after: The new position; None leaves it as it is, whatever it is.

        Raises:
            PositionMoved: The position is not `before` any more; nothing was stored.
        """
        ...

    def rewind(self, identity: ChainIdentity, segment: int) -> None:
        """Put aside all lines from a segment on: the ledger has others there now. They are sent again."""
        ...

    def close(self) -> None:
        """Give up the connection; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class SinkTarget:
    """Where lines go."""

    url: str
    password: str | None = None
    """From PGPASSWORD; None leaves it to a passfile. Never a part of the URL."""


OpenSink = Callable[[SinkTarget], LedgerSink]


def sink_opener(target: SinkTarget) -> OpenSink:
    """Return what opens the sink of a URL; the URL is checked, and nothing is connected.

    Raises:
        BadConfig: No sink takes such a URL, it holds a password, or a package is missing.
    """
    match = _SCHEME.match(target.url)
    scheme = match[1].lower() if match else ""
    if scheme in BUILT_IN:
        from cab.proxy.ledger.shipping.postgres.connection import load_psycopg  # noqa: PLC0415 - few ship
        from cab.proxy.ledger.shipping.postgres.sink import PostgresSink  # noqa: PLC0415
        from cab.proxy.ledger.shipping.postgres.url import database_of  # noqa: PLC0415 - few ship

        database_of(target.url)
        load_psycopg()
        # By this name the module is another one for checkers that know both of its paths.
        return cast("OpenSink", PostgresSink)
    found = find_extensions(GROUP, BUILT_IN)
    if scheme in found.usable:
        extension = found.usable[scheme]
        module, _, name = extension.path.partition(":")
        try:
            return cast("OpenSink", getattr(import_module(module), name))
        except (ImportError, AttributeError) as error:
            what = f"the sink {scheme} of {extension.origin} cannot be loaded: {error}"
            raise BadConfig(f"{what}; install that package again") from error
    known = ", ".join(f"{name}://" for name in (BUILT_IN[0], *found.usable))
    shown = f"{scheme}://" if scheme else "what was given"
    raise BadConfig(f"{shown} is not a sink that is known; give a URL that begins with {known}")

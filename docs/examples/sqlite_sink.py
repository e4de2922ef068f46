"""A sink of your own: the lines of ledgers in a SQLite file, by URLs such as sqlite:///var/lib/cab/lines.db.

A package brings it by an entry point; then `cab ledger ship LEDGER --to sqlite://...` finds it:

    [project.entry-points."cab.sinks"]
    sqlite = "sqlite_sink:SqliteSink"
"""

import sqlite3
from collections.abc import Sequence

from cab.proxy import (
    ChainIdentity,
    PositionMoved,
    ShippedLine,
    ShipPosition,
    SinkFailed,
    SinkTarget,
)

_SCHEMA = """
create table if not exists lines
    (ledger, chain, segment, line, part, raw, primary key (ledger, segment, line, part));
create table if not exists positions (ledger primary key, segment, line, begin, end, sha256);
"""


class SqliteSink:
    """Stores lines together with the position behind them, in one transaction."""

    def __init__(self, target: SinkTarget) -> None:
        try:
            self._db = sqlite3.connect(target.url.removeprefix("sqlite://"))
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise SinkFailed(f"{target.url}: {error}") from error

    def known_ledger(self, chain: str, segment: int, first_line: bytes) -> str | None:
        """Return which chain has this line: the first segment of the one that is shipped is gone."""
        query = "select ledger from lines where chain = ? and segment = ? and line = 1 and raw = ?"
        row = self._db.execute(query, (chain, segment, first_line)).fetchone()
        return row[0] if row else None

    def position(self, identity: ChainIdentity) -> ShipPosition | None:
        """Return how far a chain was sent."""
        query = "select segment, line, begin, end, sha256 from positions where ledger = ?"
        row = self._db.execute(query, (identity.ledger,)).fetchone()
        return ShipPosition(*row) if row else None

    def store(
        self,
        identity: ChainIdentity,
        lines: Sequence[ShippedLine],
        before: ShipPosition | None,
        after: ShipPosition | None,
    ) -> None:
        """Store lines and the position; a line that is there already stays."""
        place = identity.ledger, identity.chain
        rows = [(*place, each.segment, each.line, each.part, each.raw) for each in lines]
        try:
            with self._db:
                self._db.execute("begin immediate")
                if after is not None and self.position(identity) != before:
                    raise PositionMoved("another shipper has been here")
                self._db.executemany("insert or ignore into lines values (?, ?, ?, ?, ?, ?)", rows)
                if after is not None:
                    values = (identity.ledger, *after)
                    self._db.execute("replace into positions values (?, ?, ?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            raise SinkFailed(str(error)) from error

    def rewind(self, identity: ChainIdentity, segment: int) -> None:
        """Forget the lines from a segment on: the ledger has others there now, which come next."""
        with self._db:
            self._db.execute(
                "delete from lines where ledger = ? and segment >= ?", (identity.ledger, segment)
            )
            place = (identity.ledger, segment, 0, 0, 0, "")
            self._db.execute("replace into positions values (?, ?, ?, ?, ?, ?)", place)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

"""Lines into PostgreSQL: each once, together with the position behind them."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import cast

from cab.proxy.ledger.shipping.postgres.columns import COLUMNS, bare_row, row_of
from cab.proxy.ledger.shipping.postgres.connection import connect, one_line, step
from cab.proxy.ledger.shipping.postgres.schema import LOCK, migrate
from cab.proxy.ledger.shipping.postgres.url import database_of
from cab.proxy.ledger.shipping.sink import (
    ChainIdentity,
    PositionMoved,
    ShippedLine,
    ShipPosition,
    SinkTarget,
)
from cab.proxy.logs import RedactingLogger

_MONTH_AT = COLUMNS.index("month")
_NAMES = ", ".join(COLUMNS)
_STAGE = (
    "create temp table if not exists cab_staging (like cab.lines) on commit delete rows;"
    "alter table cab_staging alter shipped_at drop not null"
)
_COPY = f"copy cab_staging ({_NAMES}) from stdin"  # names from above, none from outside
_INSERT = (
    f"insert into cab.lines ({_NAMES}, doc) select {_NAMES}, "
    "case when damage is null then cab.as_json(raw) end from cab_staging on conflict do nothing"
)
_INSERT_AGAIN = (
    # The month is computed: another version of CAB may have put the same line into another one.
    f"insert into cab.lines ({_NAMES}, doc) select {_NAMES}, "
    "case when damage is null then cab.as_json(raw) end from cab_staging s where not exists ("
    "select from cab.lines l where (l.ledger, l.chain, l.segment, l.line, l.part) = "
    "(s.ledger, s.chain, s.segment, s.line, s.part)) on conflict do nothing"
)
_PLACE = "(ledger, chain, segment, line, part)"
_POSITION = "segment, line, begin_byte, end_byte, encode(sha256, 'hex')"
_MOVE_ASIDE = """
    with gone as (
        delete from cab.lines where ledger = %(ledger)s and chain = %(chain)s and segment >= %(segment)s
        returning ledger, chain, segment, line, part, raw
    )
    insert into cab.replaced_lines (ledger, chain, segment, line, part, raw) select * from gone
"""
_TAKE_BACK = f"""
    delete from cab.replaced_lines r using cab_staging s
    where (r.ledger, r.chain, r.segment, r.line, r.part) = {_PLACE.replace("(", "(s.").replace(", ", ", s.")}
        and r.raw = s.raw
"""

log = RedactingLogger()


class PostgresSink:
    """The lines of ledgers in a database; made by its first use.

    Args:
        target: Its URL.

    Raises:
        SinkFailed: The database is away, or refuses.
        BadConfig: A later version of CAB has changed it, or psycopg is not installed.
    """

    def __init__(self, target: SinkTarget) -> None:
        self._address = database_of(target.url)
        self._connection = connect(self._address, target.password)
        self._months: set[date] = set()
        self._insert_sql = _INSERT
        try:
            with step(self._connection, self._address):
                done = migrate(self._connection, self._address)
                self._connection.commit()
                self._connection.execute(_STAGE)
                self._connection.commit()
        except BaseException:
            self.close()
            raise
        for name in done:
            log.info("database_migrated", database=self._address.shown, migration=name)

    def known_ledger(self, chain: str, segment: int, first_line: bytes) -> str | None:
        """Return the `ledger` of a chain that has a line as the first one of a segment."""
        with step(self._connection, self._address), self._connection.transaction():
            row = self._connection.execute(
                "select encode(c.ledger, 'hex') from cab.chains c join cab.lines l using (ledger, chain) "
                "where c.chain = %s and l.segment = %s and l.line = 1 and l.part = 0 and l.raw = %s limit 1",
                (chain, segment, first_line),
            ).fetchone()
        return None if row is None else str(row[0])

    def position(self, identity: ChainIdentity) -> ShipPosition | None:
        """Return how far a chain was sent."""
        with step(self._connection, self._address), self._connection.transaction():
            return self._position(identity)

    def store(
        self,
        identity: ChainIdentity,
        lines: Sequence[ShippedLine],
        before: ShipPosition | None,
        after: ShipPosition | None,
    ) -> None:
        """Store lines, and the position behind them; see `LedgerSink`."""
        with step(self._connection, self._address):
            rows = [row_of(identity, line) for line in lines]
            self._make_months(rows)
            with self._connection.transaction():
                if after is not None:
                    self._require_position(identity, before)
                self._insert_sql = _INSERT_AGAIN if after is None else _INSERT
                self._insert(identity, list(lines), rows)
                if after is not None:
                    self._move(identity, after)

    def rewind(self, identity: ChainIdentity, segment: int) -> None:
        """Put lines aside, in `cab.replaced_lines`; they are sent again from a segment on."""
        parameters = {
            "ledger": bytes.fromhex(identity.ledger),
            "chain": identity.chain,
            "segment": segment,
        }
        with step(self._connection, self._address), self._connection.transaction():
            self._connection.execute(
                "select from cab.chains where ledger = %(ledger)s for update", parameters
            )
            self._connection.execute(_MOVE_ASIDE, parameters)
            self._connection.execute(
                "update cab.chains set segment = %(segment)s, line = 0, begin_byte = 0, end_byte = 0, "
                "sha256 = '', rewound_from = %(segment)s where ledger = %(ledger)s",
                parameters,
            )

    def close(self) -> None:
        """Give up the connection."""
        with suppress(Exception):
            self._connection.close()

    def _position(self, identity: ChainIdentity, suffix: str = "") -> ShipPosition | None:
        row = self._connection.execute(
            f"select {_POSITION} from cab.chains where ledger = %s {suffix}".encode(),
            (bytes.fromhex(identity.ledger),),
        ).fetchone()
        return None if row is None else ShipPosition(*row)

    def _require_position(self, identity: ChainIdentity, before: ShipPosition | None) -> None:
        """Hold the chain's row until the end of the transaction; it must say what was read of it."""
        if before is None:
            self._connection.execute(
                "insert into cab.chains (ledger, chain, folder, name, segment, line, begin_byte, end_byte, "
                "sha256) values (%s, %s, %s, %s, 0, 0, 0, 0, '') on conflict do nothing",
                (
                    bytes.fromhex(identity.ledger),
                    identity.chain,
                    bytes.fromhex(identity.folder),
                    identity.name,
                ),
            )
        found = self._position(identity, "for update")
        if found != (before or ShipPosition(0, 0, 0, 0, "")):
            raise PositionMoved(
                f"{self._address.shown}: another shipper sends {identity.chain} too"
            )

    def _move(self, identity: ChainIdentity, after: ShipPosition) -> None:
        values = (after.segment, after.line, after.begin, after.end, bytes.fromhex(after.sha256))
        self._connection.execute(
            "update cab.chains set segment = %s, line = %s, begin_byte = %s, end_byte = %s, sha256 = %s, "
            "rewound_from = case when rewound_from >= %s then rewound_from end, "
            "folder = %s, name = %s, shipped_at = now() where ledger = %s",
            (
                *values,
                after.segment,
                bytes.fromhex(identity.folder),
                identity.name,
                bytes.fromhex(identity.ledger),
            ),
        )

    def _insert(
        self, identity: ChainIdentity, lines: list[ShippedLine], rows: list[tuple[object, ...]]
    ) -> None:
        """Store lines; one that the database refuses with its columns is stored with its bytes alone."""
        import psycopg  # noqa: PLC0415 - an extra

        if not lines:
            return
        try:
            with self._connection.transaction():
                self._copy(rows)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(lines) > 1:
                middle = len(lines) // 2
                self._insert(identity, lines[:middle], rows[:middle])
                self._insert(identity, lines[middle:], rows[middle:])
                return
            line, reason = lines[0], one_line(error)
            log.warning("line_without_columns", chain=identity.chain, line=line.line, reason=reason)
            with self._connection.transaction():
                self._copy([bare_row(identity, line, reason)])

    def _copy(self, rows: list[tuple[object, ...]]) -> None:
        cursor = self._connection.cursor()
        with cursor.copy(_COPY.encode()) as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(self._insert_sql.encode())
        rewound = cursor.execute(
            "select from cab.chains where ledger = %s and rewound_from is not null", (rows[0][0],)
        ).fetchone()
        if rewound is not None:
            cursor.execute(_TAKE_BACK.encode())
        cursor.execute("delete from cab_staging")

    def _make_months(self, rows: list[tuple[object, ...]]) -> None:
        """Make the partitions that are missing, in a transaction of its own."""
        months = {cast("date", row[_MONTH_AT]) for row in rows} - self._months
        if not months:
            return
        with self._connection.transaction():
            self._connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
            for month in sorted(months):
                self._connection.execute("select cab.add_month(%s)", (month,))
        self._months |= months

"""Where a row of a lake lies: `sweep=S/day=D`, a folder per value, as Hive names them."""

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

UNKNOWN = "__HIVE_DEFAULT_PARTITION__"
"""What stands for null in the name of a folder."""

_LONGEST = 200
"""Bytes of a value: a name of a file may have 255."""


def partition_of(sweep: str | None, at_us: int | None) -> str:
    """Return the folder of a row below that of its table.

    Args:
        sweep: Name of the sweep, None if it is not known.
        at_us: When it began, in microseconds since 1970; its day is that in UTC. None if it is not known.

    >>> partition_of("a/b", 0)
    'sweep=a%2Fb/day=1970-01-01'
    """
    day = None if at_us is None else f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%d}"
    return f"sweep={_value(sweep)}/day={_value(day)}"


def _value(text: str | None) -> str:
    if text is None:
        return UNKNOWN
    # Readers decode percent signs; "." alone would be a folder of the file system.
    name = quote(text, safe="", errors="surrogatepass").replace(".", "%2E")
    if len(name) <= _LONGEST:
        return name
    # The beginning says which sweep, the digest keeps apart what begins alike; the rows have the whole id.
    begin = name[: _LONGEST - 17]
    cut = begin.rfind("%", len(begin) - 2)
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{begin if cut < 0 else begin[:cut]}~{digest}"

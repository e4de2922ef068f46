"""Which segments of a ledger are archived: its `archived-<number>.json` files say so.

Such a file is put in place in one step. From then on the segments that it names are not read, also where
their files are still there: they lie in the archive's folder.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import orjson

from cab.scoring.errors import BadRecord
from cab.scoring.files import naming

IN_LEDGER = re.compile(r"archived-([0-9]{6,18})\.json")
"""Name of a checkpoint in the ledger that segments were taken from."""
IN_ARCHIVE = re.compile(r"checkpoint-([0-9]{6,18})\.json")
"""Name of the same checkpoint beside the segments that it names."""


ARCHIVED = "archived"
"""Code of a refusal to read a cell whose calls are not all in the ledger any more."""


class ArchivedCalls(BadRecord):
    """Calls that were asked for are not in the ledger any more, but in an archive."""


def archived_until(files: Iterable[Path]) -> dict[int, int]:
    """Return the last archived segment of each worker that has one.

    Args:
        files: The files of a ledger's folder.

    Raises:
        BadRecord: A checkpoint cannot be read.
    """
    found: dict[int, int] = {}
    for file in files:
        if IN_LEDGER.fullmatch(file.name):
            for worker, last in _chains(file):
                found[worker] = max(last, found.get(worker, 0))
    return found


def _chains(file: Path) -> list[tuple[int, int]]:
    try:
        with naming(file):
            chains = orjson.loads(file.read_bytes())["chains"]
        return [(int(each["chain"][1:]), int(each["last_segment"])) for each in chains]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadRecord):
            raise
        what = "is damaged, so nobody knows which segments are archived: copy it from the archive"
        raise BadRecord(str(file), None, what) from error

"""`cab ledger`: verifies, reads, watches, seals, exports, archives and ships an audit log."""

from cab.adapters.ui.command import Command

DESCRIPTION = """\
The audit log: one record per model call, in hash chains that show any change.
docs/ledger.md describes it.
"""

COMMANDS = {
    "verify": Command(f"{__name__}.verify", "find any edit, deletion, insertion or reordering"),
    "calls": Command(f"{__name__}.calls", "list calls, or sums by cell"),
    "tail": Command(f"{__name__}.tail", "print the last records, and new ones as they come"),
    "seal": Command(f"{__name__}.seal", "close a cell, so that its calls are final"),
    "export": Command(f"{__name__}.export", "write the calls to a SQLite or Parquet file"),
    "archive": Command(f"{__name__}.archive", "move old segments out, leave a signed checkpoint"),
    "restore": Command(f"{__name__}.restore", "bring archived segments back"),
    "ship": Command(f"{__name__}.ship", "send the lines to a database as they are written"),
}

"""`cab capture list`: the cells of a capture."""

import argparse
from typing import Any

from cab.adapters.commands.capture.places import PATH, CaptureReader
from cab.adapters.ui.command import Option
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import FORMS
from cab.adapters.ui.tables import ResultTable, write
from cab.proxy.ledger.capture.retention import stored_cell
from cab.scoring.capture import CellCapture

DESCRIPTION = "List the cells whose bodies were kept; with --calls, the calls of each."

OPTIONS = (
    PATH,
    Option("--calls", action="store_true", help="list the calls"),
    FORMS,
)


def run(args: argparse.Namespace) -> int:
    """Print the cells, or the calls; return the exit code, which is 1 if a line cannot be read."""
    reader = CaptureReader()
    cells = reader.cells(args.path)
    rows = [row for cell in cells for row in (_calls(cell) if args.calls else [_cell(cell)])]
    columns = _CALL_COLUMNS if args.calls else _CELL_COLUMNS
    shown = [[_text(row[name]) for name in columns] for row in rows]
    write(args.form, ResultTable(list(columns.values()), shown), rows)
    return 1 if reader.bad_lines else 0


_CELL_COLUMNS = {
    "cell_id": Column("cell", "path"),
    "calls": Column("calls"),
    "not_kept": Column("not kept", unit="bodies", rank=1),
    "bytes": Column("size", unit="bytes", rank=2),
    "bytes_on_disk": Column("on disk", unit="bytes"),
}
_CALL_COLUMNS = {
    "call_id": Column("call", "name"),
    "cell_id": Column("cell", "path", rank=2),
    "endpoint": Column("endpoint", "text", rank=3),
    "seq": Column("seq"),
    "status": Column("status"),
    "request_bytes": Column("request", unit="bytes", rank=1),
    "answer_bytes": Column("answer", unit="bytes", rank=1),
}


def _cell(cell: CellCapture) -> dict[str, Any]:
    bodies = [body for call in cell.calls for body in (call.request, call.response) if body]
    return {
        "cell_id": cell.cell_id,
        "calls": len(cell.calls),
        "not_kept": sum(body.parts is None for body in bodies),
        "bytes": sum(body.bytes or 0 for body in bodies if body.parts is not None),
        "bytes_on_disk": stored_cell(cell.folder).bytes,
    }


def _calls(cell: CellCapture) -> list[dict[str, Any]]:
    return [
        {
            "call_id": call.call_id,
            "cell_id": call.cell_id,
            "endpoint": call.endpoint,
            "seq": call.seq,
            "status": None if call.response is None else call.response.status,
            "request_bytes": call.request.bytes,
            "answer_bytes": None if call.response is None else call.response.bytes,
        }
        for call in cell.calls
    ]


def _text(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)

"""`cab capture list`: the cells of a capture."""

import argparse
from typing import Any

from cab.adapters.commands.capture.places import PATH, CaptureReader
from cab.adapters.ui.command import Option
from cab.adapters.ui.options import FORMS
from cab.adapters.ui.tables import ResultTable, write
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
    columns, texts = (_CALL_COLUMNS, 3) if args.calls else (_CELL_COLUMNS, 1)
    shown = [[_text(row[name]) for name in columns] for row in rows]
    titles = [name.replace("_", " ") for name in columns]
    write(args.form, ResultTable(titles, shown, texts=texts), rows)
    return 1 if reader.bad_lines else 0


_CELL_COLUMNS = ("cell_id", "calls", "not_kept", "bytes", "bytes_on_disk")
_CALL_COLUMNS = ("call_id", "cell_id", "endpoint", "seq", "status", "request_bytes", "answer_bytes")


def _cell(cell: CellCapture) -> dict[str, Any]:
    bodies = [body for call in cell.calls for body in (call.request, call.response) if body]
    return {
        "cell_id": cell.cell_id,
        "calls": len(cell.calls),
        "not_kept": sum(body.parts is None for body in bodies),
        "bytes": sum(body.bytes or 0 for body in bodies if body.parts is not None),
        "bytes_on_disk": sum(file.stat().st_size for file in cell.folder.iterdir()),
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

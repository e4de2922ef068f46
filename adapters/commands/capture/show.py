"""`cab capture show`: the bodies of one call."""

import argparse
import sys

from cab.adapters.commands.capture.places import PATH, CaptureReader
from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.json_lines import print_json
from cab.scoring.capture import CapturedBody, CapturedCall, CellCapture
from cab.scoring.printable import printable

DESCRIPTION = """\
Print what is known of one call as a JSON object, with the texts of its two bodies.
With --request or --answer, print that body and nothing else, byte for byte; on a
terminal, characters that control it are made visible.
"""

OPTIONS = (
    PATH,
    Option("call_id", metavar="CALL_ID", help="the call; cab capture list --calls shows all"),
    OneOf(
        Option("--request", action="store_const", const="request", dest="part", help="the request"),
        Option("--answer", action="store_const", const="answer", dest="part", help="the answer"),
    ),
)


def run(args: argparse.Namespace) -> int:
    """Print the call; return the exit code.

    Raises:
        AdapterError: There is no such call, or the body was not kept.
        BadRecord: A body cannot be read, or was changed.
    """
    for cell in CaptureReader().cells(args.path):
        for call in cell.calls:
            if call.call_id == args.call_id:
                _print_body(cell, call, args.part) if args.part else _print_all(cell, call)
                return 0
    raise AdapterError(f"{args.path} holds nothing of call {args.call_id}")


def _print_all(cell: CellCapture, call: CapturedCall) -> None:
    said = call.model_dump(mode="json", by_alias=True, exclude={"new_parts"})
    for name, body in (("request", call.request), ("response", call.response)):
        if body is not None:
            del said[name]["parts"]
            kept = None if body.parts is None else cell.body(body).decode(errors="replace")
            said[name]["text"] = kept
    print_json(said)


def _print_body(cell: CellCapture, call: CapturedCall, part: str) -> None:
    body: CapturedBody | None = call.request if part == "request" else call.response
    if body is None or body.parts is None:
        raise AdapterError(f"the {part} of this call was not kept; {call.note or 'there is none'}")
    data = cell.body(body)
    if sys.stdout.isatty():
        lines = data.decode(errors="replace").splitlines()
        print("\n".join(printable(line) for line in lines))
        return
    sys.stdout.buffer.write(data)

"""Bodies of calls that a proxy was told to keep: their form, and how they are read.

A capture is a folder named `capture`, beside the segments of a ledger or in a bundle:

    capture/<slug>-<16 hex digits>/     one folder per cell
        w0.jsonl                        one line per call, schema `cab.capture/1`
        w0.parts                        zstd frames, one after the other: the parts of the bodies

`w0` names the process that wrote both files. A body is one or more parts, each named by its SHA-256.
A part that several calls of a cell share, as requests of one conversation do, is there once.
"""

from cab.scoring.capture.cell import CellCapture, find_capture
from cab.scoring.capture.layout import capture_folder, cell_folder_name
from cab.scoring.capture.lines import CapturedAnswer, CapturedBody, CapturedCall, PartPlace

__all__ = [
    "CapturedAnswer",
    "CapturedBody",
    "CapturedCall",
    "CellCapture",
    "PartPlace",
    "capture_folder",
    "cell_folder_name",
    "find_capture",
]

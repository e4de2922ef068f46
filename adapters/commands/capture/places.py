"""What the commands of `cab capture` have in common: where the capture is, and which lines are bad."""

import sys
from pathlib import Path

from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.scoring.capture import CellCapture, capture_folder, find_capture
from cab.scoring.errors import BadRecord
from cab.scoring.printable import printable

PATH = Option(
    "path", type=Path, metavar="LEDGER_OR_BUNDLE", help="a ledger's folder, or a bundle's"
)


def folder_of(path: Path) -> Path:
    """Return the folder of a capture.

    Raises:
        AdapterError: There is none.
    """
    folder = capture_folder(path)
    if folder is None:
        raise AdapterError(
            f"{path} holds no bodies of calls; they are kept with --capture bodies only"
        )
    return folder


class CaptureReader:
    """Reads cells, and names each line that cannot be read on standard error."""

    def __init__(self) -> None:
        self.bad_lines = 0

    def cells(self, path: Path) -> list[CellCapture]:
        """Return the cells of a ledger's or bundle's capture.

        Raises:
            AdapterError: There is none.
        """
        return find_capture(folder_of(path), self._note)

    def _note(self, error: BadRecord) -> None:
        self.bad_lines += 1
        print(f"cab: {printable(str(error))}; passed over", file=sys.stderr)

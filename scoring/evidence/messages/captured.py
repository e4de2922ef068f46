"""What was said in the calls of a cell, where a proxy was told to keep their bodies."""

from collections.abc import Callable
from pathlib import Path

from cab.scoring.capture import CapturedBody, CellCapture, find_capture
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.messages.call import said_in
from cab.scoring.evidence.messages.model import SaidCall


class CapturedMessages:
    """Messages of the calls of one cell, or of all that a capture holds.

    Args:
        path: A bundle or a ledger; the folder of a capture.
        cell_id: The cell; None for all.
        on_fault: Is told of each line and body that cannot be read; it is as if it were not there.

    Raises:
        BadRecord: The folder cannot be listed, or a file cannot be read at all.
    """

    def __init__(
        self,
        path: Path,
        cell_id: str | None = None,
        on_fault: Callable[[BadRecord], None] = lambda _: None,
    ) -> None:
        self._on_fault = on_fault
        self._calls = {
            call.call_id: (capture, call)
            for capture in find_capture(path, on_fault)
            for call in capture.calls
            if cell_id is None or call.cell_id == cell_id
        }

    def __bool__(self) -> bool:
        """Whether any call was kept."""
        return bool(self._calls)

    def said(self, call_id: str) -> SaidCall | None:
        """Return what was said in a call; None if nothing was kept of it."""
        found = self._calls.get(call_id)
        if found is None:
            return None
        capture, call = found
        request = self._body(capture, call.request)
        answer = None if call.response is None else self._body(capture, call.response)
        return said_in(call.endpoint, request, answer)

    def _body(self, capture: CellCapture, body: CapturedBody) -> bytes | None:
        if body.parts is None:
            return None
        try:
            return capture.body(body)
        except BadRecord as error:
            self._on_fault(error)
            return None

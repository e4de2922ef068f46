"""Which recorded call answers a request: by its hash, in the order of the recording."""

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cab.scoring.capture import CapturedCall, CellCapture, find_capture
from cab.scoring.capture.layout import FOLDER
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.reading import iter_calls

_CALLS_FILE = "calls.jsonl"
"""The records of a bundle."""

_NEVER_FORWARDED = ("rejected", "crash")
"""How calls end that no endpoint saw: what refused them will do so again."""

Key = tuple[str, str, str | None]
"""Method, path without its query, and hash of a request."""


class AskedCall(NamedTuple):
    """A request that is to be answered."""

    call_id: str
    cell_id: str | None
    endpoint: str
    method: str
    path: str
    request_hash: str | None
    adds_usage: bool
    """Whether the proxy asked for the usage on the client's behalf."""

    @property
    def key(self) -> Key:
        """What a recorded request must have in common with it."""
        return self.method, self.path.partition("?")[0], self.request_hash


class RecordedCall(NamedTuple):
    """A call of the capture."""

    call: CapturedCall
    capture: CellCapture

    def body(self) -> bytes:
        """Return the answer's body, as the client got it.

        Raises:
            BadRecord: It was not kept, or cannot be read.
        """
        return b"" if self.call.response is None else self.capture.body(self.call.response)


class RecordedUsage(NamedTuple):
    """What the record of a call says of its answer, and the client may not have got."""

    usage: dict[str, Any]
    """As the endpoint reported it."""
    response_bytes: int | None
    """How many bytes of body the endpoint sent."""


class _Queue(NamedTuple):
    calls: deque[RecordedCall]
    recorded: int
    """How many there were."""


class RecordedCalls:
    """The calls of a capture, each of which answers one request.

    A cell that the capture holds gets its own calls only; any other gets whichever comes next with
    the same hash. What only looks something up, such as a list of models, may be asked more often.

    Args:
        path: The folder of a capture, a ledger or a bundle.

    Raises:
        BadRecord: There is no capture, or it cannot be read at all.
    """

    def __init__(self, path: Path) -> None:
        self.faults: list[BadRecord] = []
        """Lines that cannot be read."""
        cells = find_capture(path, self.faults.append)
        if not cells:
            raise BadRecord(
                str(path), None, "holds no capture; docs/capture.md says how to make one"
            )
        found = [RecordedCall(call, cell) for cell in cells for call in cell.calls]
        found = [each for each in found if _was_forwarded(each.call)]
        found.sort(key=lambda each: (each.call.recorded_at, each.call.call_id))
        self._of_cell: dict[tuple[str, Key], _Queue] = {}
        self._of_all: dict[Key, _Queue] = {}
        self._cells: set[str] = set()
        for each in found:
            self._add(each)
        self._taken: set[str] = set()
        self._given: dict[str, RecordedCall] = {}
        self.usage = _usage(path, {each.call.call_id for each in found})
        """`call_id` -> what its END record says of its answer; empty without the records."""

    def _add(self, each: RecordedCall) -> None:
        call = each.call
        key = call.method, call.path.partition("?")[0], call.request_hash
        _append(self._of_all, key, each)
        if call.cell_id is not None:
            self._cells.add(call.cell_id)
            _append(self._of_cell, (call.cell_id, key), each)

    def take(self, asked: AskedCall) -> RecordedCall | str:
        """Return the call that answers a request, or why none does.

        A call that is sent again under its own id, on another connection say, gets the same answer.
        """
        if (before := self._given.get(asked.call_id)) is not None:
            return before
        queue = self._queue(asked)
        if queue is None:
            return _never_recorded(asked)
        while queue.calls and queue.calls[0].call.call_id in self._taken:
            last = queue.calls.popleft()
            if not queue.calls and asked.endpoint == "other":
                queue.calls.append(last)
                break
        if not queue.calls:
            return _too_often(asked, queue.recorded)
        found = queue.calls[0]
        self._taken.add(found.call.call_id)
        self._given[asked.call_id] = found
        return found

    def _queue(self, asked: AskedCall) -> _Queue | None:
        if asked.cell_id is not None and asked.cell_id in self._cells:
            return self._of_cell.get((asked.cell_id, asked.key))
        return self._of_all.get(asked.key)


def _append(queues: dict[Any, _Queue], key: object, each: RecordedCall) -> None:
    before = queues.get(key, _Queue(deque(), 0))
    before.calls.append(each)
    queues[key] = before._replace(recorded=before.recorded + 1)


def _was_forwarded(call: CapturedCall) -> bool:
    return call.transport is None and call.end_reason not in _NEVER_FORWARDED


def _usage(path: Path, wanted: set[str]) -> dict[str, RecordedUsage]:
    folder = path.parent if path.name == FOLDER else path
    bundle = folder / _CALLS_FILE
    records = iter_calls(bundle if bundle.is_file() else folder)
    return {
        end.call_id: RecordedUsage(end.usage_raw, end.response_bytes)
        for end in records
        if end.call_id in wanted and end.usage_raw is not None
    }


def _never_recorded(asked: AskedCall) -> str:
    return (
        f"{_named(asked)} was never recorded: something in it differs, such as the agent's version, "
        "the task's text, the working directory or a date. Run the cell as it was recorded, or record "
        "it anew with an endpoint and capture = 'bodies'"
    )


def _too_often(asked: AskedCall, recorded: int) -> str:
    times = "once" if recorded == 1 else f"{recorded} times"
    return (
        f"{_named(asked)} was recorded {times}, and all of that is used up: restart the proxy to begin "
        "again, or record the cell anew with an endpoint and capture = 'bodies'"
    )


def _named(asked: AskedCall) -> str:
    cell = "" if asked.cell_id is None else f" of cell {asked.cell_id}"
    hashed = f" with hash {asked.request_hash}" if asked.request_hash else ""
    return f"replay: {asked.method} {asked.path.partition('?')[0]}{hashed}{cell}"


_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\r\r")


def pieces_of(stream: bytes) -> Iterator[bytes]:
    """Yield the events of a stream, each with the blank line after it."""
    begin = 0
    for match in _BLANK_LINE.finditer(stream):
        yield stream[begin : match.end()]
        begin = match.end()
    if begin < len(stream):
        yield stream[begin:]

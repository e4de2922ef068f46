"""The calls of one cell in a capture, and their bodies."""

from collections.abc import Callable, Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cab.scoring.capture.layout import (
    capture_folder,
    cell_folder_name,
    cell_folders,
    lines_files,
    parts_file,
)
from cab.scoring.capture.lines import (
    MAX_LINE_BYTES,
    SCHEMA,
    CapturedBody,
    CapturedCall,
    PartPlace,
)
from cab.scoring.capture.parts import read_part
from cab.scoring.errors import BadRecord
from cab.scoring.files import check_regular, is_object, naming, parse_json, validated

MAX_BODY_BYTES = 256 << 20
"""Larger bodies are kept by no writer."""

OnBadLine = Callable[[BadRecord], None]
"""Is told of each line that cannot be read, by file and number."""


def find_capture(path: Path, on_bad_line: OnBadLine | None = None) -> list["CellCapture"]:
    """Return the cells of a capture, by the names of their folders; none if there is no capture.

    Args:
        path: A ledger, a bundle, or the folder `capture` itself.
        on_bad_line: Is told of each line that cannot be read; such lines are passed over.

    Raises:
        BadRecord: The folder cannot be listed.
    """
    folder = capture_folder(path)
    if folder is None:
        return []
    with naming(folder):
        return [CellCapture(each, on_bad_line) for each in cell_folders(folder)]


class CellCapture:
    """What a capture holds of one cell. The files are read when it is first asked for something.

    Args:
        folder: The cell's folder.
        on_bad_line: Is told of each line that cannot be read; such lines are passed over.
    """

    def __init__(self, folder: Path, on_bad_line: OnBadLine | None = None) -> None:
        self.folder = folder
        self._on_bad_line = on_bad_line or _pass_over

    @property
    def cell_id(self) -> str | None:
        """The cell's id; None for calls without a cell, and if no line of it can be read."""
        return self.calls[0].cell_id if self.calls else None

    @property
    def calls(self) -> list[CapturedCall]:
        """The calls, by their number in the cell; those without one come last, by time.

        A file that cannot be read at all is told of as a line is. There are none if somebody removes them.
        """
        return self._index.calls

    def body(self, body: CapturedBody, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """Return the bytes of a body of one of these calls.

        Args:
            body: A call's `request` or `response`.
            max_bytes: A longer body is refused before anything of it is unpacked.

        Raises:
            BadRecord: It was not kept, is longer, or a part of it is missing or was changed.
            NoZstandard: `zstandard` is not there.
        """
        if body.parts is None or body.sha256 is None:
            raise BadRecord(str(self.folder), None, "this body was not kept")
        places = [self._place(name) for name in body.parts]
        size_bytes = sum(stored.place.bytes for stored in places)
        if size_bytes > max_bytes:
            reason = f"a body of {size_bytes} bytes is over the limit of {max_bytes}"
            raise BadRecord(str(self.folder), None, reason)
        data = b"".join(read_part(stored.path, stored.place) for stored in places)
        if sha256(data).hexdigest() != body.sha256:
            raise BadRecord(str(self.folder), None, f"body {body.sha256} was changed")
        return data

    @cached_property
    def _index(self) -> "_Index":
        calls, parts = dict[str, CapturedCall](), dict[str, _StoredPart]()
        for path in self._lines_files():
            for call in self._calls_of(path):
                if cell_folder_name(call.cell_id) != self.folder.name:
                    self._on_bad_line(
                        BadRecord(str(path), None, f"{call.call_id} is of another cell")
                    )
                    continue
                calls.setdefault(call.call_id, call)
                for place in call.new_parts:
                    parts.setdefault(place.sha256, _StoredPart(parts_file(path), place))
        return _Index(sorted(calls.values(), key=_order), parts)

    def _lines_files(self) -> list[Path]:
        try:
            return lines_files(self.folder)
        except FileNotFoundError:  # somebody removes it
            return []
        except OSError as error:
            self._on_bad_line(BadRecord(str(self.folder), None, error.strerror or str(error)))
            return []

    def _calls_of(self, path: Path) -> Iterator[CapturedCall]:
        try:
            yield from read_calls(path, self._on_bad_line)
        except BadRecord as error:
            # One file is no reason to show nothing of the others.
            self._on_bad_line(error)

    def _place(self, name: str) -> "_StoredPart":
        stored = self._index.parts.get(name)
        if stored is None:
            raise BadRecord(str(self.folder), None, f"part {name} is missing")
        return stored


def read_calls(path: Path, on_bad_line: OnBadLine) -> Iterator[CapturedCall]:
    """Yield the calls of one file of lines, in its order.

    Args:
        path: The file.
        on_bad_line: Is told of each line that is none; such lines are passed over.

    Raises:
        BadRecord: The file cannot be read at all.
    """
    check_regular(path)
    with naming(path), path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            try:
                call = _call(line, path, number)
            except BadRecord as error:
                on_bad_line(error)
                # What is left of a line that is too long is no line of its own.
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                continue
            if call is not None:
                yield call


def _pass_over(error: BadRecord) -> None:
    """Do nothing about a line that cannot be read."""
    del error


class _StoredPart(NamedTuple):
    path: Path
    place: PartPlace


class _Index(NamedTuple):
    calls: list[CapturedCall]
    parts: dict[str, _StoredPart]


def _call(line: bytes, path: Path, number: int) -> CapturedCall | None:
    """Return the call that a line is; None if it is of a kind that this version does not know."""
    if not line.endswith(b"\n"):
        raise BadRecord(str(path), number, "is cut off, or too long")
    data = parse_json(line, path, number)
    if not is_object(data) or data.get("schema") != SCHEMA:
        raise BadRecord(str(path), number, f"is not of schema {SCHEMA}")
    if data.get("kind") != "call":
        return None
    return validated(CapturedCall, data, path, line=number)


def _order(call: CapturedCall) -> tuple[bool, int, str, str]:
    return (call.seq is None, call.seq or 0, call.recorded_at, call.call_id)

"""The content of a file, packed or not, in bounded memory: as a whole, or line by line."""

import io
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from cab.scoring.errors import BadRecord
from cab.scoring.files import MAX_FILE_BYTES, check_regular, naming
from cab.scoring.ledger.zstd import Damaged, Unpacked

MAX_LINE_BYTES = 64 << 20
"""A row of OpenHands holds the whole history of a run: some megabytes."""
MAX_LINES = 250_000
"""Lines of a file, blank ones included: a harness writes one for each instance, some thousands."""
MAX_UNPACKED_BYTES = 4 << 30
"""What a packed file may unpack to, where it is read line by line."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
ZIP = b"PK\x03\x04"
"""How a zip begins."""
_STEP_BYTES = 1 << 16
_UNPACKED_STEP_BYTES = 1 << 18


class Content:
    """The content of an open file.

    Args:
        path: The file, for errors.
        stream: Its content, unpacked.
        packed: Whether it is larger than the file.
    """

    def __init__(self, path: Path, stream: BinaryIO, *, packed: bool) -> None:
        self.path = path
        self.torn: str | None = None
        """Why the content ends too early, None while it does not."""
        self._stream = stream
        self._rest = MAX_UNPACKED_BYTES if packed else None
        self._again: list[bytes] = []

    def first_lines(self) -> tuple[bytes, bytes]:
        """Return the first two lines that are not blank, without reading them for good.

        The second one is cut off behind its first bytes.
        """
        read: list[bytes] = []
        first = self._not_blank(read, MAX_FILE_BYTES + 1)
        second = self._not_blank(read, _STEP_BYTES) if first.endswith(b"\n") else b""
        self._again = read
        return first.strip(), second.strip()

    def _not_blank(self, read: list[bytes], limit: int) -> bytes:
        while True:
            line = self._line(limit)
            read.append(line)
            if line.strip() or not line:
                return line
            if len(read) > 1000:  # a file of blank lines
                return b""

    def whole(self) -> bytes:
        """Return all of it.

        Raises:
            BadRecord: It is over the limit, or cut off.
        """
        parts = self._again
        room = MAX_FILE_BYTES + 1 - sum(map(len, parts))
        while room > 0 and (part := self._read(min(room, _UNPACKED_STEP_BYTES))):
            parts.append(part)
            room -= len(part)
        if room <= 0:
            raise BadRecord(str(self.path), None, f"is over the limit of {MAX_FILE_BYTES} bytes")
        if self.torn is not None:
            raise BadRecord(str(self.path), None, self.torn)
        self._again = []
        return b"".join(parts)

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield number and content of each line that is not blank; None if it is over the limit.

        Raises:
            BadRecord: There are more than `MAX_LINES`, or packed ones unpack to too much.
        """
        number = 0
        while line := self._next_line():
            number += 1
            if number > MAX_LINES:
                raise BadRecord(str(self.path), number, f"has more than {MAX_LINES} lines")
            if len(line) > MAX_LINE_BYTES:
                self._skip(line)
                yield number, None
            elif line.strip():
                yield number, line

    def _next_line(self) -> bytes:
        if not self._again:
            return self._line(MAX_LINE_BYTES + 1)
        line = self._again.pop(0)
        if line.endswith(b"\n") or len(line) > MAX_LINE_BYTES:
            return line
        return line + self._line(MAX_LINE_BYTES + 1 - len(line))

    def _skip(self, line: bytes) -> None:
        while line and not line.endswith(b"\n"):
            line = self._line(_UNPACKED_STEP_BYTES)

    def _read(self, size: int) -> bytes:
        return self._take(self._stream.read, size)

    def _line(self, limit: int) -> bytes:
        return self._take(self._stream.readline, limit)

    def _take(self, read: Callable[[int], bytes], size: int) -> bytes:
        """Return what is read; nothing from where packed content ends too early, which is noted."""
        if self.torn is not None:
            return b""
        try:
            with naming(self.path):
                data = read(size)
        except Damaged as error:
            self.torn = str(error)
            return b""
        if self._rest is not None:
            self._rest -= len(data)
            if self._rest < 0:
                what = f"unpacks to more than {MAX_UNPACKED_BYTES} bytes"
                raise BadRecord(str(self.path), None, what)
        return data


@contextmanager
def open_content(path: Path) -> Generator[Content]:
    """Open a file for its content; gzip and zstd are unpacked, whatever the file is called.

    Raises:
        BadRecord: It cannot be read, is not a regular file, or `zstandard` is missing for it.
    """
    check_regular(path)
    with naming(path), path.open("rb") as file:
        begin = file.read(4)
        file.seek(0)
        if begin.startswith(_GZIP):
            stream: Any = _Gunzipped(file)
        elif begin == _ZSTD:
            stream = Unpacked(path)
        else:
            stream = file
        packed = stream is not file
        with io.BufferedReader(stream) if packed else file as buffered:
            yield Content(path, buffered, packed=packed)


def is_zip(path: Path) -> bool:
    """Return whether a file begins as a zip does.

    Raises:
        BadRecord: It cannot be read, or is not a regular file.
    """
    check_regular(path)
    with naming(path), path.open("rb") as file:
        return file.read(len(ZIP)) == ZIP


class _Gunzipped(io.RawIOBase):
    """The content of a gzip file of one or more members; reading it raises `Damaged`."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._member = _member()
        self._inside = True
        self._packed = b""

    def readable(self) -> bool:
        """Return True: it is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever can be written to
        """Fill a buffer as far as content is at hand; return the number of bytes, 0 at the end."""
        while True:
            packed = self._packed or self._file.read(_STEP_BYTES)
            if not packed:
                if self._inside:
                    raise Damaged("the compressed data is cut off")
                return 0
            content = self._step(packed, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)

    def _step(self, packed: bytes, most: int) -> bytes:
        if not self._inside:
            packed = packed.lstrip(b"\0")  # padding between and behind members
            self._packed = packed
            if not packed:
                return b""
            self._member, self._inside = _member(), True
        try:
            content: bytes = self._member.decompress(packed, most)
        except zlib.error as error:
            raise Damaged(f"the compressed data is damaged: {error}") from error
        self._packed = self._member.unconsumed_tail
        if self._member.eof:
            self._packed, self._inside = self._member.unused_data, False
        return content


def _member() -> Any:  # noqa: ANN401 - zlib does not export the type
    return cast("Any", zlib.decompressobj(wbits=31))

"""A log of Inspect as a zip, `.eval`: a header, and one member of JSON per sample.

Members are packed with deflate, by newer versions with zstd, which Python reads only from 3.14 on; here
`zstandard` unpacks them. A log that was not finished has a start in its journal in place of the header.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, cast

from cab.scoring.errors import BadRecord
from cab.scoring.files import MAX_FILE_BYTES, is_object, naming
from cab.scoring.imports.inspect.log import header_of, samples_of
from cab.scoring.imports.model import ImportedCell
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.lenient import parse_lenient

if TYPE_CHECKING:
    from types import ModuleType

_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError)

MAX_MEMBERS: Final = 1_000_000
"""Members of a zip; a log has one per sample and epoch, and some more."""

_HEADER = "header.json"
_START = "_journal/start.json"
_SAMPLES = "samples/"
_ZSTD_METHOD = 93
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 1
_MAX_HEADER_BYTES = 64 << 20


def archive_of(source: InputFile) -> list[ImportedCell]:
    """Return one cell per sample and epoch of a log, in the order of the file.

    Raises:
        BadRecord: It is not a log, or none of its samples can be read.
    """
    with naming(source.path), _opened(source) as log:
        names = set(log.namelist())
        if len(log.infolist()) > MAX_MEMBERS:
            raise BadRecord(str(source.path), None, f"has more than {MAX_MEMBERS} members")
        name = next((each for each in (_HEADER, _START) if each in names), None)
        if name is None:
            what = f"is a zip, but not a log of Inspect: it has no {_HEADER}"
            raise BadRecord(str(source.path), None, what)
        header = _parsed(log, log.getinfo(name), source, _MAX_HEADER_BYTES)
        if not is_object(header):
            raise BadRecord(str(source.path), None, "is not an object", field=name)
        return samples_of(_samples(log, source), header_of(header, source), source)


@contextmanager
def _opened(source: InputFile) -> Generator[zipfile.ZipFile]:
    try:
        log = zipfile.ZipFile(source.path)
    except (*_FAULTS, ValueError, struct.error) as error:
        raise BadRecord(str(source.path), None, f"is not a whole zip: {error}") from error
    with log:
        yield log


def _samples(log: zipfile.ZipFile, source: InputFile) -> Iterator[FileRow]:
    # A member may be there twice, if a sample was written again: the last one counts.
    members = {each.filename: each for each in log.infolist()}
    for name, member in members.items():
        if not name.startswith(_SAMPLES) or not name.endswith(".json"):
            continue
        try:
            yield FileRow(_parsed(log, member, source, MAX_FILE_BYTES), name)
        except BadRecord as error:
            if isinstance(error.__cause__, ImportError):
                raise
            source.lose(error)


def _parsed(log: zipfile.ZipFile, member: zipfile.ZipInfo, source: InputFile, most: int) -> object:
    path = str(source.path)
    if member.flag_bits & _ENCRYPTED:
        raise BadRecord(path, None, "is encrypted", field=member.filename)
    try:
        with _content(log, member, source) as content:
            text = content.read(most + 1)
    except (*_FAULTS, struct.error) as error:
        raise BadRecord(path, None, f"is damaged: {error}", field=member.filename) from error
    if len(text) > most:
        raise BadRecord(path, None, f"is over the limit of {most} bytes", field=member.filename)
    try:
        return parse_lenient(text, source)
    except BadRecord as error:
        raise BadRecord(path, None, error.reason, field=member.filename) from error


def _content(log: zipfile.ZipFile, member: zipfile.ZipInfo, source: InputFile) -> IO[bytes]:
    if member.compress_type != _ZSTD_METHOD:
        return log.open(member)
    return _zstd_content(log, member, source)


def _zstd_content(log: zipfile.ZipFile, member: zipfile.ZipInfo, source: InputFile) -> IO[bytes]:
    """Return the content of a member that Python cannot unpack; its checksum is not compared."""
    zstd: Any = _zstandard(source)
    file = cast("IO[bytes]", log.fp)
    file.seek(member.header_offset)
    head = file.read(_LOCAL_HEADER_BYTES)
    if len(head) < _LOCAL_HEADER_BYTES or not head.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile("no member begins where the directory says")
    name_bytes = int.from_bytes(head[26:28], "little")
    extra_bytes = int.from_bytes(head[28:30], "little")
    file.seek(name_bytes + extra_bytes, io.SEEK_CUR)
    packed = file.read(min(member.compress_size, MAX_FILE_BYTES))
    reader = zstd.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    return cast("IO[bytes]", _Translating(reader, zstd.ZstdError))


class _Translating(io.RawIOBase):
    """A stream whose faults are those of a zip."""

    def __init__(self, stream: Any, fault: type[Exception]) -> None:  # noqa: ANN401 - has no types
        super().__init__()
        self._stream = stream
        self._fault = fault

    def read(self, size: int = -1) -> bytes:
        """Return what can be read, up to a number of bytes.

        Raises:
            BadZipFile: The content is damaged.
        """
        parts: list[bytes] = []
        try:
            while size > 0 and (part := self._stream.read(min(size, 1 << 20))):
                parts.append(part)
                size -= len(part)
        except self._fault as error:
            raise zipfile.BadZipFile(str(error)) from error
        return b"".join(parts)


def _zstandard(source: InputFile) -> "ModuleType":
    try:
        import zstandard  # noqa: PLC0415 - only who reads such a log needs it
    except ImportError as error:
        what = "is packed with zstd; to read it, run: pip install zstandard"
        raise BadRecord(str(source.path), None, what) from error
    return zstandard

"""Keys that are not valid any more: a small append-only file in the state folder.

The file is what all processes share: each looks at its length before it believes a key, so that a
revocation holds everywhere from the moment in which it is on disk, whoever wrote it.
"""

import os
import threading
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson

from cab.proxy.auth.cell_keys import CellKey
from cab.proxy.errors import BadConfig, BadKey
from cab.proxy.ledger.segments import sync_folder, write_all
from cab.scoring.timestamps import rfc3339

FILE_NAME = "revoked.ndjson"
"""Not `.jsonl`: by that name readers of a ledger know its segments."""


class _State(NamedTuple):
    inode: int
    size: int


class Revocations:
    """The revoked keys.

    Args:
        folder: The state folder; the file in it is made with the first revocation.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME
        self._keys: set[str] = set()
        self._cells: dict[str, int] = {}
        self._read = _State(0, 0)
        self._path = str(self.file)
        self._lock = threading.Lock()

    def check(self, key: CellKey) -> None:
        """Return if a key is not revoked.

        Raises:
            BadKey: It, or all keys of its cell up to its own, were revoked.
        """
        self._refresh()
        if key.key_id in self._keys or key.issued_s <= self._cells.get(key.cell_id, -1):
            raise BadKey("this cell's key has been revoked; mint a new one")

    def revokes(self, key: CellKey) -> bool:
        """Return whether a key is revoked."""
        try:
            self.check(key)
        except BadKey:
            return True
        return False

    def is_revoked(self, key_id: str) -> bool:
        """Return whether a key is revoked by its id."""
        self._refresh()
        return key_id in self._keys

    def revokes_new(self, cell_id: str, now_s: int) -> bool:
        """Return whether a key that a cell gets now is revoked.

        Args:
            cell_id: The cell.
            now_s: Seconds since the Unix epoch.
        """
        self._refresh()
        return now_s <= self._cells.get(cell_id, -1)

    def revoke_key(self, key_id: str, now_s: int, until_s: int | None = None) -> None:
        """Revoke one key; on return it is on disk.

        Args:
            key_id: The key's claim `jti`.
            now_s: Seconds since the Unix epoch.
            until_s: When the key expires by itself, if that is known; from then on the line may go.

        Raises:
            BadConfig: The file cannot be written.
        """
        self._append({"at": _instant(now_s), "key_id": key_id, "until_s": until_s})

    def revoke_cell(self, cell_id: str, now_s: int) -> None:
        """Revoke all keys of a cell that were minted up to now; on return it is on disk.

        Args:
            cell_id: The cell.
            now_s: Seconds since the Unix epoch; keys minted from the next second on count.

        Raises:
            BadConfig: The file cannot be written.
        """
        self._append({"at": _instant(now_s), "cell_id": cell_id, "issued_until_s": now_s})

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            append_lines(self.file, orjson.dumps(entry) + b"\n")
        except OSError as error:
            raise BadConfig(f"{self.file} cannot be written: {error.strerror}") from error

    def _refresh(self) -> None:
        """Read what was added since the last look."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - half the time, and each call comes here
        except FileNotFoundError:
            return
        if _State(found.st_ino, found.st_size) == self._read:
            return
        with self._lock, self.file.open("rb") as handle:
            inode = os.fstat(handle.fileno()).st_ino
            # Another file, or a shorter one, is read from its start; what was revoked stays so.
            same = inode == self._read.inode and found.st_size >= self._read.size
            offset = handle.seek(self._read.size if same else 0)
            whole, newline, _ = handle.read().rpartition(b"\n")
            for line in whole.splitlines():
                self._take(line)
            self._read = _State(inode, offset + len(whole) + len(newline))

    def _take(self, line: bytes) -> None:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            return  # a torn write: it was acknowledged to nobody
        if not isinstance(entry, dict):
            return
        match cast("dict[str, object]", entry):
            case {"key_id": str(key_id)}:
                self._keys.add(key_id)
            case {"cell_id": str(cell_id), "issued_until_s": int(until_s)}:
                self._cells[cell_id] = max(until_s, self._cells.get(cell_id, until_s))
            case _:
                pass


def _instant(now_s: int) -> str:
    return rfc3339(now_s * 1_000_000_000)


def append_lines(file: Path, lines: bytes) -> None:
    """Append whole lines to a file of revocations; on return they are on disk.

    Raises:
        OSError: It cannot be written.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # a write that was torn ends before this one begins
        write_all(descriptor, lines)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(file.parent)

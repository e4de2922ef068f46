"""A bundle as a tar archive, for nodes that share no folder with the sweep; unpacked with distrust."""

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, cast

from cab.adapters.errors import AdapterError
from cab.adapters.runs.bundle import MARKER

MOST_BYTES = 4 << 30
"""The largest bundle that is sent or taken."""
MOST_FILES = 100_000
"""The most files in one."""

_PART = ".part"
_READ_BYTES = 4 << 20
"""The most that is read at once. The header of a member may say that it is as large as the whole archive, and
would then be held in memory."""


class BadBundleStream(AdapterError):
    """An archive that cannot be a bundle."""


def pack_bundle(bundle: Path, archive: IO[bytes]) -> int:
    """Write a bundle's files into an archive; return its size in bytes.

    Raises:
        BadBundleStream: It is too large to be sent.
    """
    with tarfile.open(fileobj=archive, mode="w:") as tar:
        for number, path in enumerate(sorted(bundle.rglob("*"))):
            if path.is_symlink() or not path.is_file() or path.name == MARKER:
                continue
            if number >= MOST_FILES or archive.tell() + path.stat().st_size > MOST_BYTES:
                raise BadBundleStream(
                    f"{bundle} is larger than {MOST_BYTES} bytes or {MOST_FILES} files, and is not sent"
                )
            tar.add(path, str(path.relative_to(bundle)), recursive=False)
    size = archive.tell()
    archive.seek(0)
    return size


class _Source:
    """An archive of which nothing is read at once that is too large.

    Args:
        archive: The file.
    """

    def __init__(self, archive: IO[bytes]) -> None:
        self._archive = archive
        self.seek, self.tell = archive.seek, archive.tell

    def read(self, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            BadBundleStream: They are too many, or fewer than none.
        """
        if not 0 <= size <= _READ_BYTES:
            raise BadBundleStream(f"a header of it has {size} bytes")
        return self._archive.read(size)


def unpack_bundle(
    archive: IO[bytes], bundle: Path, check: Callable[[Path], object] | None = None
) -> None:
    """Put the files of an archive where a bundle belongs, all of them or none.

    The archive comes from a machine on which agents ran: only plain files below the bundle are taken,
    each new, with our own owner and rights.

    Args:
        archive: At its start.
        bundle: Must not be there yet, or be the marked folder of the same cell.
        check: Is given the folder that holds the files, before it becomes the bundle; an error of it refuses them.

    Raises:
        BadBundleStream: It holds anything else, or the check refuses it.
        OSError: It cannot be written.
    """
    part = bundle.with_name(f"{bundle.name}{_PART}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _unpack(archive, part)
        if check is not None:
            check(part)
        shutil.rmtree(bundle, ignore_errors=True)
        part.rename(bundle)
    except (BadBundleStream, OSError):
        raise
    # Whatever a hostile archive, or what it holds, makes a reader do: a name with a zero byte, headers of headers.
    except Exception as error:
        raise BadBundleStream(
            f"the archive of {bundle.name} cannot be used: {type(error).__name__}: {error}"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unpack(archive: IO[bytes], folder: Path) -> None:
    source = cast("IO[bytes]", _Source(archive))
    with tarfile.open(fileobj=source, mode="r:") as tar:
        for number, member in enumerate(tar):
            if number >= MOST_FILES:
                raise BadBundleStream(f"the archive of {folder.stem} has too many files")
            _take(tar, member, folder)


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    name = PurePosixPath(member.name)
    # A sparse file may be far larger than the archive that holds it.
    plain = member.isreg() and not member.issparse() and member.size >= 0
    if not plain or name.is_absolute() or ".." in name.parts or not name.parts:
        raise BadBundleStream(
            f"the archive of {folder.name} holds {member.name!r}, which is not a plain file below it"
        )
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # it is a regular file
    # "x": two members of one name, or one in place of a folder, are an error.
    with target.open("xb") as handle:
        shutil.copyfileobj(source, handle, 1 << 20)
        handle.flush()
        os.fsync(handle.fileno())

"""A bundle as a tar archive, for nodes that share no folder with the sweep; unpacked with distrust."""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from cab.adapters.errors import AdapterError
from cab.adapters.runs.bundle import MARKER

MOST_BYTES = 4 << 30
"""The largest bundle that is sent or taken."""
MOST_FILES = 100_000
"""The most files in one."""

_PART = ".part"


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


def unpack_bundle(archive: IO[bytes], bundle: Path) -> None:
    """Put the files of an archive where a bundle belongs, all of them or none.

    The archive comes from a machine on which agents ran: only plain files below the bundle are taken,
    each new, with our own owner and rights.

    Args:
        archive: At its start.
        bundle: Must not be there yet, or be the marked folder of the same cell.

    Raises:
        BadBundleStream: It holds anything else.
        OSError: It cannot be written.
    """
    part = bundle.with_name(f"{bundle.name}{_PART}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for number, member in enumerate(tar):
                if number >= MOST_FILES:
                    raise BadBundleStream(f"the archive of {bundle.name} has too many files")
                _take(tar, member, part)
    except tarfile.TarError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise BadBundleStream(f"the archive of {bundle.name} cannot be read: {error}") from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(bundle, ignore_errors=True)
    part.rename(bundle)


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    name = PurePosixPath(member.name)
    # A sparse file may be far larger than the archive that holds it.
    plain = member.isreg() and not member.issparse()
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

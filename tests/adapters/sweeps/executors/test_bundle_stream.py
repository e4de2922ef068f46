"""Bundles as archives, from nodes that may send anything."""

import io
import tarfile
from pathlib import Path

import pytest

from cab.adapters.sweeps.executors.bundle_stream import (
    BadBundleStream,
    pack_bundle,
    unpack_bundle,
)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    data.seek(0)
    return data


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.uid = kind, link, 0o4777, 12345
    return info


def test_there_and_back(tmp_path: Path) -> None:
    """All files come back with the same bytes, and our rights; the marker and links do not travel."""
    bundle, target = tmp_path / "a", tmp_path / "x" / "b#run1"
    (bundle / "capture").mkdir(parents=True)
    for name in ("cell.json", "capture/part", "INCOMPLETE"):
        (bundle / name).write_bytes(name.encode())
    (bundle / "link").symlink_to("/etc/passwd")
    data = io.BytesIO()

    size = pack_bundle(bundle, data)
    unpack_bundle(data, target)

    assert size == len(data.getvalue())
    files = {str(f.relative_to(target)): f.read_bytes() for f in target.rglob("*") if f.is_file()}
    assert files == {"cell.json": b"cell.json", "capture/part": b"capture/part"}
    assert [path.name for path in target.parent.iterdir()] == ["b#run1"]


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil")],
        [member("/tmp/evil")],
        [member("a/../../evil")],
        [member("link", tarfile.SYMTYPE, "/etc")],
        [member("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("device", tarfile.CHRTYPE)],
        [member("folder", tarfile.DIRTYPE)],
        [member("cell.json"), member("cell.json")],
        [member("a"), member("a/b")],
    ],
)
def test_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    """Anything but new plain files below the bundle is refused, and nothing of it stays."""
    with pytest.raises((BadBundleStream, OSError)):
        unpack_bundle(archive(*((each, b"") for each in members)), tmp_path / "runs" / "b")

    assert list(tmp_path.rglob("*")) == [tmp_path / "runs"]


def pax(**headers: str) -> tarfile.TarInfo:
    info = member("cell.json")
    info.pax_headers = headers
    return info


def raw(kind: bytes, size: int) -> bytes:
    """Return a header whose size is whatever is asked for; a negative one would lead a reader back to itself."""
    info = member("cell.json", kind)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "data",
    [
        archive((pax(path="a\0b"), b"")).getvalue(),
        archive((pax(size="-512"), b"")).getvalue(),
        raw(tarfile.XHDTYPE, 0) * 2_000,
        raw(tarfile.REGTYPE, -512) * 3,
        raw(tarfile.XHDTYPE, -512) * 3,
        raw(tarfile.XHDTYPE, 3 << 30) * 3,
        raw(tarfile.GNUTYPE_LONGNAME, 3 << 30) * 3,
    ],
)
def test_hostile_headers(tmp_path: Path, data: bytes) -> None:
    """Headers that lie cost neither time nor memory, and are an error of one kind."""
    with pytest.raises(BadBundleStream):
        unpack_bundle(io.BytesIO(data), tmp_path / "b")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 100, 700])
def test_cut_short(tmp_path: Path, cut: int) -> None:
    """Half an archive is not half a bundle."""
    data = archive((member("cell.json"), b"x" * 1000)).getvalue()[:cut]

    with pytest.raises((BadBundleStream, OSError)):
        unpack_bundle(io.BytesIO(data), tmp_path / "b")

    assert list(tmp_path.iterdir()) == []


def test_rights_are_ours(tmp_path: Path) -> None:
    """Owner and mode of the archive do not count."""
    unpack_bundle(archive((member("cell.json"), b"{}")), tmp_path / "b")

    facts = (tmp_path / "b" / "cell.json").stat()
    assert facts.st_mode & 0o7111 == 0
    assert facts.st_uid != 12345

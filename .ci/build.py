"""Builds sdist and wheel of one commit: the same commit gives the same bytes, in any folder, for anybody.

    python .ci/build.py SOURCES OUT SECONDS

The same version of setuptools is needed for that; the wheel names the one that built it.
"""

import gzip
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path


def main(sources: Path, out: Path, epoch_s: int) -> None:
    """Build into a folder.

    Args:
        sources: A copy of the files of the commit, and nothing else: the build writes beside them.
        out: Where sdist and wheel go.
        epoch_s: Time of the commit, in seconds since 1970: that of all files in sdist and wheel.
    """
    os.umask(0o022)
    for path in sources.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, sources],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s)},
        stdout=subprocess.DEVNULL,  # what it did; what it warns of stays
    )
    for sdist in out.glob("*.tar.gz"):
        repack(sdist, epoch_s)


def repack(sdist: Path, epoch_s: int) -> None:
    """Write an sdist once more, without what differs from build to build: times, owners, the order of files."""
    plain = BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=plain, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch_s, 0, 0, "", ""
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    sdist.write_bytes(gzip.compress(plain.getvalue(), mtime=epoch_s))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

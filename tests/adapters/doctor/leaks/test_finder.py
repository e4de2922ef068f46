"""Secrets in files and processes are found, and named without being shown."""

import base64
import binascii
import bz2
import gzip
import lzma
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from cab.adapters.doctor.leaks import encodings
from cab.adapters.doctor.leaks.encodings import forms_of
from cab.adapters.doctor.leaks.finder import Leak, SecretFinder, file_leaks, process_leaks
from cab.adapters.doctor.leaks.process_watch import descendants, watch_processes
from cab.adapters.workspaces.removal import remove_tree
from cab.proxy.redaction import StreamRedactor

REAL = "sk-canary-one/with+signs"
SECRETS = {"endpoint's key": forms_of(REAL), "cell's key": forms_of("cell-number-two")}
BOTH = {Leak("cell's key", "argv"), Leak("endpoint's key", "environ")}


def test_files_are_searched_at_any_depth(tmp_path: Path) -> None:
    """A secret in any file is reported with the file's path; a link is not followed."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "log").write_bytes(b"\0key=" + REAL.encode() + b"\xff")
    (tmp_path / "clean").write_text(REAL[:-1])
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b" / "log")
    os.mkfifo(tmp_path / "pipe")
    assert list(file_leaks(tmp_path, SECRETS, "HOME")) == [Leak("endpoint's key", "HOME/a/b/log")]
    assert list(file_leaks(tmp_path, SECRETS, "HOME", [tmp_path / "a"])) == []


def test_what_is_too_much_to_be_searched_is_reported(
    tmp_path: Path,
) -> None:
    """Folders too deep for a path, and files too large, do not end the search and are not passed over."""
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 6 << 30)
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (tmp_path / "log").write_text(REAL)

    try:
        found = list(file_leaks(tmp_path, SECRETS, "HOME"))
    finally:
        remove_tree(tmp_path / "d")

    assert Leak("endpoint's key", "HOME/log") in found
    assert Leak("any key", "HOME/huge, which was not searched: file-size") in found
    assert sum(leak.place.endswith("which was not searched: depth") for leak in found) == 1


def test_names_are_searched_too_and_redacted(tmp_path: Path) -> None:
    """A file that is called like a key, or a link to such a one, is found; the key is not shown."""
    (tmp_path / "of-cell-number-two").mkdir()
    (tmp_path / "link").symlink_to("/nowhere/cell-number-two")
    assert set(file_leaks(tmp_path, SECRETS, "HOME")) == {
        Leak("cell's key", "HOME/of-[key]"),
        Leak("cell's key", "HOME/link"),
    }


@pytest.mark.parametrize("before", range(8))
def test_a_secret_across_two_reads_is_found(
    tmp_path: Path, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are read piece by piece; a secret that a piece's end cuts is found all the same."""
    monkeypatch.setattr(encodings, "_CHUNK_BYTES", 4)
    (tmp_path / "f").write_bytes(b"x" * before + b"cell-number-two")
    assert [leak.secret for leak in file_leaks(tmp_path, SECRETS, "HOME")] == ["cell's key"]


def in_url(text: bytes) -> bytes:
    return quote(text, safe="").encode()


def in_two_bytes(text: bytes) -> bytes:
    return text.decode().encode("utf-16-le")


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize(
    "encode",
    [
        base64.b64encode,
        base64.urlsafe_b64encode,
        binascii.hexlify,
        in_url,
        in_two_bytes,
    ],
)
def test_an_encoded_secret_is_found(
    tmp_path: Path, encode: Callable[[bytes], bytes], before: int
) -> None:
    """Base64, hex, a URL's form and two bytes a sign, wherever the secret begins in the text."""
    (tmp_path / "f").write_bytes(encode(b"y" * before + REAL.encode() + b"zz"))
    assert [leak.secret for leak in file_leaks(tmp_path, SECRETS, "HOME")] == ["endpoint's key"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_a_packed_secret_is_found(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A packed file is unpacked; one that only begins like one is read as it is."""
    (tmp_path / "f").write_bytes(pack(b"text " + REAL.encode()))
    (tmp_path / "torn").write_bytes(pack(b"text")[:8] + b"cell-number-two")
    assert set(file_leaks(tmp_path, SECRETS, "H")) == {
        Leak("endpoint's key", "H/f"),
        Leak("cell's key", "H/torn"),
    }


def test_an_archives_members_are_searched(tmp_path: Path) -> None:
    """A zip file is looked into, and a broken one read as it is."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", "text " + REAL)
    (tmp_path / "b.zip").write_bytes(b"PK\3\4 cell-number-two")
    assert {leak.place for leak in file_leaks(tmp_path, SECRETS, "H")} == {"H/a.zip", "H/b.zip"}


def test_what_passes_is_noted_and_not_changed() -> None:
    """A secret in a stream is noted though two pieces hold it, and the text stays as it is."""
    finder = SecretFinder(SECRETS)
    stream = StreamRedactor(finder)
    assert stream.feed(b"a cell-num") + stream.feed(b"ber-two b") + stream.flush() == (
        b"a cell-number-two b"
    )
    assert finder.found == {"cell's key"}
    assert finder.text(REAL) == REAL


async def test_processes_are_watched_while_they_run() -> None:
    """A secret in the arguments or the environment of a descendant is reported, and which of the two."""
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-c", code, "--key", "cell-number-two"],
        env={**os.environ, "K": REAL},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in set(descendants([os.getpid()]))
        assert set(process_leaks(child.pid, SECRETS)) == BOTH
        async with watch_processes(SECRETS) as watch:
            assert child.pid in watch.running()
        child.communicate()
    assert watch.leaks == BOTH
    assert child.pid not in watch.running()


def test_a_process_that_has_ended_holds_nothing() -> None:
    """A process that ended between two looks is skipped."""
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    assert list(process_leaks(done.pid, SECRETS)) == []
    assert list(descendants([done.pid])) == []

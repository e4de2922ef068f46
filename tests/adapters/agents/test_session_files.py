"""Files that an agent left, or whatever it put in their place."""

import os
from pathlib import Path

import pytest

from cab.adapters.agents.session_files import read_kept
from cab.adapters.agents.session_json import kept_objects
from cab.adapters.agents.usage_reports import kept_lines
from cab.adapters.errors import BadSelfReport


def test_file(tmp_path: Path) -> None:
    """A file up to the limit is read whole."""
    (tmp_path / "a").write_bytes(b"\0\xff\r\n")

    assert read_kept(tmp_path / "a", "toy", 4) == b"\0\xff\r\n"


def test_too_large(tmp_path: Path) -> None:
    """A larger file is refused."""
    (tmp_path / "a").write_bytes(b"12345")

    with pytest.raises(BadSelfReport, match=r"toy's a cannot be read: it has over 4 bytes"):
        read_kept(tmp_path / "a", "toy", 4)


def test_folder(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(BadSelfReport, match="no regular file"):
        read_kept(tmp_path, "toy")


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "file", "nowhere"])
def test_link(tmp_path: Path, target: str) -> None:
    """A link is not followed, wherever it leads."""
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to(target)

    with pytest.raises(BadSelfReport, match="toy's link cannot be read"):
        read_kept(tmp_path / "link", "toy")


def test_pipe(tmp_path: Path) -> None:
    """Nobody waits for a pipe that nobody writes to, wherever files are read."""
    os.mkfifo(tmp_path / "a.json")

    for read in (kept_lines, kept_objects):
        with pytest.raises(BadSelfReport, match="no regular file"):
            list(read(tmp_path, "a.json", "toy"))

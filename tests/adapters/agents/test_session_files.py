"""Session files of an agent, or what it put in their place."""

import os
from pathlib import Path

import pytest

from cab.adapters.agents.session_files import read_session_file, session_lines, session_objects
from cab.adapters.errors import BadSelfReport


def test_file(tmp_path: Path) -> None:
    """A file up to the limit is read."""
    (tmp_path / "a").write_bytes(b"\0\xff\r\n")

    assert read_session_file(tmp_path / "a", "toy", 4) == b"\0\xff\r\n"


def test_too_large(tmp_path: Path) -> None:
    """A larger file is refused."""
    (tmp_path / "a").write_bytes(b"12345")

    with pytest.raises(BadSelfReport, match=r"toy's a cannot be read: it has over 4 bytes"):
        read_session_file(tmp_path / "a", "toy", 4)


def test_folder(tmp_path: Path) -> None:
    """A folder is not a file."""
    with pytest.raises(BadSelfReport, match="not a regular file"):
        read_session_file(tmp_path, "toy")


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "file", "nowhere"])
def test_link(tmp_path: Path, target: str) -> None:
    """A link is not followed, wherever it leads."""
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to(target)

    with pytest.raises(BadSelfReport, match="toy's link cannot be read"):
        read_session_file(tmp_path / "link", "toy")


def test_pipe(tmp_path: Path) -> None:
    """A pipe without a writer does not block, wherever files are read."""
    os.mkfifo(tmp_path / "a.json")

    for read in (session_lines, session_objects):
        with pytest.raises(BadSelfReport, match="not a regular file"):
            list(read(tmp_path, "a.json", "toy"))


def test_file_after_file(tmp_path: Path) -> None:
    """Each file that the glob finds is an object, in the order of their names."""
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(f'{{"name": "{name}"}}')

    assert list(session_objects(tmp_path, "*/state.json", "toy")) == [{"name": "a"}, {"name": "b"}]


def test_no_file(tmp_path: Path) -> None:
    """There may be none."""
    assert list(session_objects(tmp_path, "*/state.json", "toy")) == []


@pytest.mark.parametrize("content", ["", "{", '{"a": 1} {"b": 2}', "\xff"])
def test_torn_file(tmp_path: Path, content: str) -> None:
    """A file that was not written to its end is an error that names it."""
    (tmp_path / "state.json").write_text(content, encoding="latin-1")

    with pytest.raises(BadSelfReport, match=r"toy's state\.json cannot be read"):
        list(session_objects(tmp_path, "state.json", "toy"))


def test_files_in_order(tmp_path: Path) -> None:
    """Files of lines are read in the order of their names; there may be none."""
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"name": "{name}"}}\n')

    assert [line["name"] for line in session_lines(tmp_path, "*.jsonl", "agent")] == ["a", "b"]
    assert list(session_lines(tmp_path, "*.json", "agent")) == []


def test_file_that_is_not_text(tmp_path: Path) -> None:
    """Bytes that are not text spoil only their own line."""
    (tmp_path / "a.jsonl").write_bytes(b'\xff\xfe\n{"name": "\xff"}\n')

    assert list(session_lines(tmp_path, "*.jsonl", "agent")) == [{"name": "\ufffd"}]

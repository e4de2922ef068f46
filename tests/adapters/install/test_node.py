"""Nodes for agents."""

from pathlib import Path

import pytest

from cab.adapters.install.node import find_node, node_text


def fake_node(folder: Path, text: str) -> Path:
    """Put a program that answers like a Node into a folder."""
    folder.mkdir()
    (folder / "node").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "node").chmod(0o755)
    return folder


def use_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Make folders the PATH."""
    monkeypatch.setenv("PATH", ":".join(["", *map(str, folders)]))


def test_newest_that_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All folders of the PATH are asked, and the newest Node is taken, not the first one."""
    old = fake_node(tmp_path / "old", "echo v20.9.0 /opt/old/node")
    new = fake_node(tmp_path / "new", "echo v22.10.0 /opt/new/node")
    use_path(monkeypatch, old, new, tmp_path / "nothing")

    assert find_node((20, 9)) == (Path("/opt/new/node"), (22, 10, 0))
    assert find_node((22, 10, 0)) == (Path("/opt/new/node"), (22, 10, 0))
    assert find_node((22, 11)) is None
    assert find_node((23,)) is None


def test_program_behind_a_wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is the one that Node itself names, and of a nightly build too."""
    shims = fake_node(tmp_path / "shims", "echo v24.0.0-nightly2025 /opt/my nodes/bin/node")
    use_path(monkeypatch, shims)

    assert find_node((22,)) == (Path("/opt/my nodes/bin/node"), (24, 0, 0))


@pytest.mark.parametrize("text", ["echo hello", "echo v22.1.0", "exit 1", ""])
def test_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A program that answers otherwise is not a Node."""
    use_path(monkeypatch, fake_node(tmp_path / "bin", text))

    assert find_node((1,)) is None


def test_not_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be started is passed over."""
    folder = fake_node(tmp_path / "bin", "")
    (folder / "node").write_text("no program")
    use_path(monkeypatch, folder)

    assert find_node((1,)) is None


def test_text() -> None:
    """The need reads as a person would say it."""
    assert node_text((22,)) == "Node.js 22 or newer"

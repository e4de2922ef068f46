import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cab.adapters.workspaces.patch import make_patch
from cab.adapters.workspaces.tree import walk_tree
from cab.scoring import BadRecord, diff_trees
from cab.scoring.evidence.patch_lines import FileLines, read_patch_lines


def read(folder: Path, patch: bytes) -> dict[str, FileLines]:
    """Return what a patch of these bytes says."""
    path = folder / "changes.patch"
    path.write_bytes(patch)
    lines = read_patch_lines(path)
    assert lines is not None
    return lines


def made(folder: Path, before: dict[str, bytes], after: dict[str, bytes]) -> dict[str, FileLines]:
    """Return what the patch says that CAB writes for two trees."""
    roots = (folder / "before", folder / "after")
    for root, files in zip(roots, (before, after), strict=True):
        root.mkdir()
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    patch = make_patch(*roots, diff_trees(*(walk_tree(root) for root in roots)))
    return read(folder, patch)


def test_the_lines_of_a_real_patch(tmp_path: Path) -> None:
    """Added, removed and changed files have their lines, a binary one has none."""
    lines = made(
        tmp_path,
        {"last": b"x", "gone": b"1\n2\n3", "kept": b"a\nb\nc\n", "same": b"x", "bits": b"\0old"},
        {
            "last": b"y",
            "new file": b"1\n2",
            "kept": b"a\nB\nc\n",
            "same": b"x",
            "bits": b"\0new",
            "empty": b"",
        },
    )
    assert lines == {
        "last": FileLines(added=1, removed=1),
        "gone": FileLines(removed=3),
        "kept": FileLines(added=1, removed=1),
        "new file": FileLines(added=2),
        "bits": FileLines(binary=True),
        "empty": FileLines(),
    }


@pytest.mark.parametrize(
    "name", ["with space", "ü", 'quote"d', "line\nfeed", "back\\slash", "a b/a"]
)
def test_names_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    """Whatever a file is called, its lines are under its name in the manifests."""
    assert made(tmp_path, {}, {name: b"x\n"}) == {name: FileLines(added=1)}


def test_a_line_that_looks_like_a_head_is_a_line(tmp_path: Path) -> None:
    """Contents that imitate a patch are counted as contents."""
    forged = b"diff --git a/x b/x\n@@ -1,9 +1,9 @@\nBinary files a and b differ\n"
    lines = made(tmp_path, {"f": b"old\n"}, {"f": forged})
    assert lines == {"f": FileLines(added=3, removed=1)}


def test_without_a_patch_nothing_is_known(tmp_path: Path) -> None:
    """No patch is not an empty patch."""
    assert read_patch_lines(tmp_path / "changes.patch") is None
    assert read(tmp_path, b"") == {}


HEAD = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n"


@pytest.mark.parametrize(
    ("patch", "line", "reason"),
    [
        (b"@@ -1 +1 @@\n", 1, "no file was named"),
        (b"diff --git a/f b/g\n", 1, "names no file"),
        (b"diff --git f\n", 1, "names no file"),
        (HEAD + b"@@ here @@\n", 4, "head of a hunk"),
        (HEAD + b"@@ -1 +1 @@\n-x\n", 5, "ends within a hunk"),
        (HEAD + b"@@ -1 +1 @@\n-x\nyes\n", 6, "begins with"),
        (HEAD + b"@@ -0,0 +1 @@\n-x\n+y\n", 6, "other lines than its head"),
    ],
)
def test_a_broken_patch_is_named(tmp_path: Path, patch: bytes, line: int, reason: str) -> None:
    """A patch that cannot be followed is an error with file and line."""
    with pytest.raises(BadRecord, match=re.escape(reason)) as caught:
        read(tmp_path, patch)
    assert (caught.value.path, caught.value.line) == (str(tmp_path / "changes.patch"), line)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line past the limit is not read into memory."""
    monkeypatch.setattr("cab.scoring.evidence.patch_lines.MAX_LINE_BYTES", 20)
    with pytest.raises(BadRecord, match="longer than 20 bytes"):
        read(tmp_path, b"diff --git a/f b/f and so on\n")


def test_a_link_to_nowhere_is_not_a_missing_patch(tmp_path: Path) -> None:
    """A patch that is a broken link is an error, and not unknown."""
    (tmp_path / "changes.patch").symlink_to("nowhere")
    with pytest.raises(BadRecord, match=r"changes\.patch"):
        read_patch_lines(tmp_path / "changes.patch")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_lines_or_an_error(tmp_path: Path, patch: bytes) -> None:
    """No bytes behind a patch's beginning do more than raise an error that names the file."""
    try:
        lines = read(tmp_path, HEAD + b"@@ -1,3 +1,3 @@\n" + patch)
    except BadRecord:
        return
    assert all(file.added + file.removed <= len(patch) for file in lines.values())

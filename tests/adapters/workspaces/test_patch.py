"""Patches of odd changes: git itself must be able to apply them."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cab.adapters.workspaces.patch import MAX_BYTES, TOTAL_BYTES, make_patch
from cab.adapters.workspaces.tree import walk_tree
from cab.scoring.evidence.manifest import diff_trees

Tree = dict[str, bytes]


class Sides:
    """A workspace before and after."""

    def __init__(self, root: Path) -> None:
        self.before = root / "before"
        self.after = root / "after"
        shutil.rmtree(self.before, ignore_errors=True)
        shutil.rmtree(self.after, ignore_errors=True)
        self.before.mkdir()
        self.after.mkdir()

    def fill(self, before: Tree, after: Tree) -> None:
        for root, tree in ((self.before, before), (self.after, after)):
            for name, content in tree.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)

    def patch(self) -> bytes:
        diff = diff_trees(walk_tree(self.before), walk_tree(self.after))
        return make_patch(self.before, self.after, diff)

    def apply(self) -> None:
        """Apply the patch to the workspace before, with git."""
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            input=self.patch(),
            cwd=self.before,
            check=True,
            capture_output=True,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(self.before.parent)},
        )

    def same(self) -> bool:
        return not diff_trees(walk_tree(self.before), walk_tree(self.after)).changed


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides(tmp_path)


def test_reads_as_a_diff(sides: Sides) -> None:
    """A change reads as a unified diff with git's headers."""
    sides.fill({"src/a.py": b"one\ntwo\n"}, {"src/a.py": b"one\nthree\n", "new": b"x"})

    assert sides.patch().decode() == (
        "diff --git a/new b/new\n"
        "new file mode 100644\n"
        "--- /dev/null\n"
        "+++ b/new\n"
        "@@ -0,0 +1 @@\n"
        "+x\n"
        "\\ No newline at end of file\n"
        "diff --git a/src/a.py b/src/a.py\n"
        "--- a/src/a.py\n"
        "+++ b/src/a.py\n"
        "@@ -1,2 +1,2 @@\n"
        " one\n"
        "-two\n"
        "+three\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": b"x\n"}),
        ({"a": b"x\n"}, {}),
        ({}, {"empty": b""}),
        ({"empty": b""}, {}),
        ({"a": b"x"}, {"a": b"x\n"}),
        ({"a": b"x\n"}, {"a": b"x"}),
        ({"a": b"one\r\ntwo\r\n"}, {"a": b"one\r\nTWO\r\n"}),
        ({"a": b"caf\xe9\n"}, {"a": b"caf\xc3\xa9\n"}),
        ({"a": "one\u2028two\x0bthree\n".encode()}, {"a": "one\u2028zwei\x0bthree\n".encode()}),
        ({"with space": b"x\n"}, {"with space": b"y\n"}),
        ({"café/日本": b"x\n"}, {"café/日本": b"y\n", "neu/ü": b"z\n"}),
        ({'tab\tquote"back\\slash': b"x\n"}, {'tab\tquote"back\\slash': b"y\n"}),
        ({"line\nfeed": b"x\n"}, {"line\nfeed": b"y\n"}),
    ],
)
def test_git_applies(sides: Sides, before: Tree, after: Tree) -> None:
    """git turns the workspace before into the one after."""
    sides.fill(before, after)

    sides.apply()

    assert sides.same()


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"\r\n", b"\n", b"\xff\n", b"x"]), max_size=12)
TREES = st.dictionaries(st.sampled_from(["a", "b/c", "d e", "ü"]), LINES.map(b"".join))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(TREES, TREES)
def test_git_applies_any(tmp_path: Path, before: Tree, after: Tree) -> None:
    """git turns any text tree into any other, line ends or none."""
    sides = Sides(tmp_path)
    sides.fill(before, after)
    if sides.same():
        assert sides.patch() == b""
        return

    sides.apply()

    assert sides.same()


def test_links_and_modes(sides: Sides) -> None:
    """Links, changed links, a file that became a link, and execute bits are written as git does."""
    sides.fill({"tool": b"x\n", "was-file": b"x\n"}, {"tool": b"x\n"})
    (sides.after / "tool").chmod(0o755)
    (sides.after / "was-file").symlink_to("tool")
    (sides.before / "link").symlink_to("one")
    (sides.after / "link").symlink_to("two")
    (sides.after / "fresh").symlink_to("tool")

    sides.apply()

    assert sides.same()
    assert (sides.before / "was-file").is_symlink()
    assert (sides.before / "link").readlink() == Path("two")


BIG = b"x\n" * (MAX_BYTES // 2 + 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a.png": b"\x89PNG\0old"}, {"a.png": b"\x89PNG\0new" * 40}),
        ({}, {"a.png": bytes(range(256)) * 9}),
        ({"a.png": b"\0"}, {}),
        ({"a": b"\0"}, {"a": b"text\n"}),
        ({"a": b"text\n"}, {"a": b"\0"}),
        ({"big": BIG}, {"big": BIG + b"y"}),
        ({}, {"big": BIG}),
        ({"big": BIG}, {}),
    ],
    ids=["changed", "new", "gone", "to text", "from text", "large", "large new", "large gone"],
)
def test_git_applies_binary(sides: Sides, before: Tree, after: Tree) -> None:
    """Binary content, and files too large to compare line by line, are in the patch as a whole."""
    sides.fill({"other": b"1\n", **before}, {"other": b"2\n", **after})

    sides.apply()

    assert sides.same()


def test_what_no_patch_can_hold(sides: Sides) -> None:
    """A pipe, and what is past the total, are named, and do not keep git from applying the rest."""
    sides.fill({"z": b"1\n", "was": b"x\n"}, {"z": b"2\n", "huge ü": b"x" * (TOTAL_BYTES + 1)})
    os.mkfifo(sides.after / "pipe")
    os.mkfifo(sides.after / "was")

    patch = sides.patch().decode().splitlines()
    sides.apply()

    assert [line for line in patch if line.startswith("Not in")] == [
        "Not in this patch: huge ü (total-size)",
        "Not in this patch: pipe (pipe)",
        "Not in this patch: was (pipe)",
    ]
    assert (sides.before / "z").read_bytes() == b"2\n"
    assert (sides.before / "was").read_bytes() == b"x\n"


def test_total_is_bounded(sides: Sides) -> None:
    """However many files there are, no more than the total is shown."""
    sides.fill({}, {f"{n:02}": b"line\n" * 200_000 for n in range(24)})

    patch = sides.patch()

    assert TOTAL_BYTES < len(patch) < 2 * TOTAL_BYTES
    assert patch.count(b"(total-size)\n") == 24 - TOTAL_BYTES // 1_000_000


def test_secret_in_binary_content(sides: Sides) -> None:
    """A binary file that holds a secret is named: nothing could be taken out of it later."""
    sides.fill({}, {"a": b"\0key", "b": b"\0other"})
    diff = diff_trees(walk_tree(sides.before), walk_tree(sides.after))

    patch = make_patch(
        sides.before, sides.after, diff, redact=lambda data: data.replace(b"key", b"[redacted]")
    )

    assert patch.startswith(b"Not in this patch: a (holds a secret)\ndiff --git a/b b/b\n")


def test_file_that_became_a_folder(sides: Sides) -> None:
    """A file that became a folder is removed, and what is in the folder is new."""
    sides.fill({"a": b"x\n"}, {"a/b": b"y\n"})

    sides.apply()

    assert sides.same()


def test_name_that_is_no_utf8(sides: Sides) -> None:
    """A name that is not UTF-8 is written with its escapes, as in the manifest."""
    (sides.after / os.fsdecode(b"caf\xe9")).write_text("x\n")

    assert b'"a/caf\\\\xe9"' in sides.patch()
    assert b"\n+x\n" in sides.patch()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_unreadable_as_another_user() -> None:
    """A file that cannot be read is named; a folder that cannot be read holds nothing to show."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        sides = Sides(Path(name))
        sides.fill({}, {"locked": b"x\n", "folder/inside": b"x\n"})
        diff = diff_trees(walk_tree(sides.before), walk_tree(sides.after))
        (sides.after / "locked").chmod(0)
        (sides.after / "folder").chmod(0)
        os.seteuid(65534)
        try:
            patch = make_patch(sides.before, sides.after, diff)
        finally:
            os.seteuid(0)

    assert patch == (b"Not in this patch: locked (unreadable)\n")


def test_git_folder_is_left_out(sides: Sides) -> None:
    """Files in `.git` are not changes."""
    sides.fill({}, {".git/HEAD": b"ref\n", "sub/.git/HEAD": b"ref\n"})

    assert sides.patch() == b""

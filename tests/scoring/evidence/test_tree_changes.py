from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import TreeEntry, TreeManifest, diff_trees
from cab.scoring.axes.blast_radius import score_blast_radius
from cab.scoring.evidence.tree_changes import TreeFacts, tree_facts
from tests.scoring.builders import file_entry, task_facts, tree


def facts(before: TreeManifest, after: TreeManifest) -> TreeFacts:
    return tree_facts(before, after, diff_trees(before, after))


def link(target: str) -> TreeEntry:
    return TreeEntry(type="symlink", size=len(target), target=target, mode=0o777)


def pairs(before: TreeManifest, after: TreeManifest) -> list[tuple[str, str]]:
    return [(pair.old, pair.new) for pair in facts(before, after).renames]


def test_a_moved_file_is_a_rename() -> None:
    """A file that is gone here and new there with the same content was renamed."""
    before = tree({"a.py": "one", "b.py": "two", "kept": "three"})
    after = tree({"src/a.py": "one", "b.py": "two", "kept": "three", "copy": "three"})
    assert pairs(before, after) == [("a.py", "src/a.py")]


def test_twins_are_paired_once_each() -> None:
    """Of several files with the same content each is paired at most once, in the order of names."""
    before = tree({"a": "x", "b": "x", "c": "x"})
    assert pairs(before, tree({"d": "x", "e": "x"})) == [("a", "d"), ("b", "e")]
    assert pairs(tree({"z": "x"}), tree({"a": "x", "b": "x"})) == [("z", "a")]


def test_what_has_no_content_is_not_paired() -> None:
    """Empty files, links, and files that could not be read are alike without being the same."""
    before = tree({"a": "", "l": link("x"), "u": TreeEntry(type="file", size=3)})
    after = tree({"b": "", "m": link("x"), "v": TreeEntry(type="file", size=3)})
    assert pairs(before, after) == []


def test_permissions_are_reported_whether_or_not_they_count() -> None:
    """A file whose bits differ is named; new files, links, folders and unknown modes are not."""
    before = tree(
        {
            "group": file_entry("x", 0o644),
            "run": file_entry("x", 0o644),
            "unknown": TreeEntry(type="file"),
            "lost": file_entry("x", 0o644),
            "folder": TreeEntry(type="dir", mode=0o755),
            "link": link("run"),
        }
    )
    after = tree(
        {
            "group": file_entry("x", 0o664),
            "run": file_entry("x", 0o755),
            "unknown": file_entry("x", 0o600),
            "lost": TreeEntry(type="file"),
            "folder": TreeEntry(type="dir", mode=0o700),
            "link": link("run"),
            "new": file_entry("x", 0o777),
        }
    )
    assert facts(before, after).permission_changes == ["group", "run"]


@pytest.mark.parametrize(
    ("path", "target", "escapes"),
    [
        ("link", "/etc/passwd", True),
        ("link", "..", True),
        ("link", "../outside", True),
        ("link", "a/../../outside", True),
        ("deep/er/link", "../../../outside", True),
        ("deep/er/link", "../../inside", False),
        ("link", "..inside", False),
        ("link", "inside", False),
        ("link", ".", False),
    ],
)
def test_links_that_leave_the_workspace(path: str, target: str, escapes: bool) -> None:
    """A link is followed on paper only: absolute or climbing past the top, it leads out."""
    known = facts(tree({}), tree({path: link(target)}))
    assert known.symlink_changes == [path]
    assert known.escaping_symlinks == ([path] if escapes else [])


def test_links_that_come_and_go() -> None:
    """A link that became a file, or is gone, is a changed link that leads nowhere any more."""
    before = tree({"a": link("/x"), "b": link("/y"), "c": "text"})
    known = facts(before, tree({"a": "text", "c": link("d")}))
    assert known.symlink_changes == ["a", "b", "c"]
    assert known.escaping_symlinks == []
    assert facts(tree({}), tree({"odd": TreeEntry(type="symlink")})).escaping_symlinks == []


def test_new_git_folders_below_the_top_are_named() -> None:
    """A `.git` in a folder that was not there before is reported, one that was there is not."""
    folder = TreeEntry(type="dir")
    before = tree({"old/.git": folder})
    after = tree(
        {"old/.git": folder, "new/.git": folder, "worktree/.git": "gitdir: x", "x.git": "y"}
    )
    assert facts(before, after).nested_git == ["new/.git", "worktree/.git"]


NAMES = st.sampled_from(["a", "b", "c/d", "e"])
TREES = st.dictionaries(NAMES, st.sampled_from(["", "x", "y"]))


@given(TREES, TREES)
def test_a_rename_is_a_removal_and_an_addition(
    before: dict[str, str], after: dict[str, str]
) -> None:
    """Renames pair removed with added paths, each at most once, of the same content."""
    diff = diff_trees(tree(before), tree(after))
    found = pairs(tree(before), tree(after))
    olds, news = [old for old, _ in found], [new for _, new in found]
    assert len({*olds}) == len(olds)
    assert len({*news}) == len(news)
    assert {*olds} <= {*diff.removed}
    assert {*news} <= {*diff.added}
    assert all(before[old] == after[new] for old, new in found)


def cpu_s(files: int) -> float:
    """Return the least time in which a tree of so many files, all of them moved, is compared."""
    before = tree({f"a/{n}": f"{n}" for n in range(files)})
    after = tree({f"b/{n}": f"{n}" for n in range(files)})
    times: list[float] = []
    for _ in range(3):
        began = thread_time()
        diff = diff_trees(before, after)
        known = tree_facts(before, after, diff)
        axis = score_blast_radius(diff, task_facts(), extra_git_dir=False, facts=known)
        times.append(thread_time() - began)
        assert len(axis.renames or []) == files
    return min(times)


@pytest.mark.slow
def test_ten_times_the_files_take_ten_times_as_long() -> None:
    """The work grows with the number of files and not with its square, which would be 100 times."""
    assert cpu_s(10_000) < 40 * cpu_s(1_000)

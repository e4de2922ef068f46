from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cab.scoring import BadRecord, TreeEntry, TreeManifest, diff_trees, dump_manifest, load_manifest
from tests.scoring.builders import file_entry, tree

NAMES = st.text("ab.", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ENTRIES = st.one_of(
    st.builds(file_entry, st.text("xy", max_size=2), st.sampled_from([0o644, 0o755, 0o600])),
    st.builds(TreeEntry, type=st.just("symlink"), target=st.sampled_from(["a", "b"])),
    st.just(TreeEntry(type="dir", mode=0o755)),
)
TREES = st.builds(
    TreeManifest, entries=st.dictionaries(PATHS, ENTRIES, max_size=6), git_dir=st.booleans()
)


@given(TREES)
def test_a_tree_does_not_differ_from_itself(manifest: TreeManifest) -> None:
    """Nothing changed between a tree and itself."""
    assert diff_trees(manifest, manifest).changed == []


@given(TREES, TREES)
def test_backwards_swaps_added_and_removed(before: TreeManifest, after: TreeManifest) -> None:
    """Seen backwards, what was added is removed, and what was modified still is."""
    there, back = diff_trees(before, after), diff_trees(after, before)
    assert (there.added, there.removed, there.modified) == (back.removed, back.added, back.modified)


@given(TREES, TREES)
def test_each_change_is_listed_once(before: TreeManifest, after: TreeManifest) -> None:
    """The lists are sorted, do not overlap, and hold files and links of the two trees only."""
    diff = diff_trees(before, after)
    assert len(set(diff.changed)) == len(diff.changed)
    assert all(list(part) == sorted(part) for part in diff)
    known = {**before.entries, **after.entries}
    assert all(path in known for path in diff.changed)
    assert all(after.entries[path].type != "dir" for path in diff.added)


@given(TREES)
def test_a_manifest_reads_back(manifest: TreeManifest) -> None:
    """A manifest's file holds the manifest."""
    data = orjson.loads(dump_manifest(manifest))
    assert TreeManifest.model_validate(data, strict=True) == manifest
    assert list(data["entries"]) == sorted(data["entries"])
    assert data["schema"] == "cab.tree/1"


def test_what_counts_as_a_change() -> None:
    """Content, kind, target and the owner's execute bit count; other permissions do not."""
    link = TreeEntry(type="symlink", size=1, target="a")
    before = tree(
        {
            "content": "a",
            "execute": file_entry("a", 0o644),
            "group": file_entry("a", 0o644),
            "kind": "a",
            "target": link,
            "unknown": TreeEntry(type="file"),
            "folder": TreeEntry(type="dir", mode=0o755),
            "old": "a",
            "same": "a",
        }
    )
    after = tree(
        {
            "content": "b",
            "execute": file_entry("a", 0o744),
            "group": file_entry("a", 0o664),
            "kind": link,
            "target": TreeEntry(type="symlink", size=1, target="b"),
            "unknown": TreeEntry(type="file"),
            "folder": TreeEntry(type="dir", mode=0o700),
            "folder/new": "a",
            "same": "a",
        }
    )
    diff = diff_trees(before, after)
    assert diff.modified == ["content", "execute", "kind", "target"]
    assert (diff.added, diff.removed) == (["folder/new"], ["old"])


def test_git_is_not_a_change() -> None:
    """What is in a `.git`, at any depth, is never a change of the tree."""
    after = tree({".git/HEAD": "ref", "sub/.git/config": "x", "sub/.git": "gitdir: y"})
    assert diff_trees(tree({}), after).changed == []


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "./a", "a//b", "a/", "", ".", "a\0b"]
)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    """An absolute or climbing path is an error, in code and in a file."""
    with pytest.raises(ValidationError):
        TreeManifest(entries={path: TreeEntry(type="file")})
    file = tmp_path / "before.json"
    file.write_bytes(orjson.dumps({"schema": "cab.tree/1", "entries": {path: {"type": "file"}}}))
    with pytest.raises(BadRecord, match=r"before\.json: entries\.") as caught:
        load_manifest(file)
    assert "path" in caught.value.reason


def test_another_schema_is_refused(tmp_path: Path) -> None:
    """A manifest of a schema that is not known is not guessed at."""
    file = tmp_path / "before.json"
    file.write_bytes(b'{"schema": "cab.tree/2", "entries": {}}')
    with pytest.raises(BadRecord, match="schema"):
        load_manifest(file)

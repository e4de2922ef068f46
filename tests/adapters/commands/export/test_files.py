from pathlib import Path

import pytest

from cab.adapters.commands.export.files import Files
from cab.adapters.errors import AdapterError
from cab.adapters.output.whole_file import partial_of


def everything(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_folder_takes_a_file_of_each_name(tmp_path: Path) -> None:
    """Names are paths below the folder; nothing is in place before all is whole."""
    with Files(tmp_path / "out", ".json", "one cell") as files:
        files.append("a/b", b"1")
        files.append("a/c", b"2")
        files.append("a/b", b"3")
        assert everything(tmp_path) == ["out/a/b.json.part", "out/a/c.json.part"]
        files.place()
        assert len(files) == 2
    assert everything(tmp_path) == ["out/a/b.json", "out/a/c.json"]
    assert (tmp_path / "out/a/b.json").read_bytes() == b"13"


def test_a_path_with_the_suffix_is_one_file(tmp_path: Path) -> None:
    """One name fits into one file; a second one needs a folder."""
    with Files(tmp_path / "x.eval", ".eval", "one log") as files:
        files.append("s/a/m", b"1")
        with pytest.raises(
            AdapterError, match=r"x\.eval holds one log, .* s/a/m and s/b/m; give a"
        ):
            files.append("s/b/m", b"2")
        files.place()
    assert everything(tmp_path) == ["x.eval"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder in the place of a file is reported before anything is written."""
    (tmp_path / "x.eval").mkdir()
    with (
        Files(tmp_path / "x.eval", ".eval", "one log") as files,
        pytest.raises(AdapterError, match=r"x\.eval is a folder; give a file"),
    ):
        files.append("s/a/m", b"1")
    assert everything(tmp_path) == []


def test_an_old_file_stays_until_a_new_one_is_whole(tmp_path: Path) -> None:
    """A file that was there is replaced at the end, and kept if the writing breaks off."""
    old = tmp_path / "x.json"
    old.write_bytes(b"old")
    with Files(old, ".json", "one cell") as files:
        files.open("a").write(b"new")
    assert old.read_bytes() == b"old"
    assert everything(tmp_path) == ["x.json"]
    with Files(old, ".json", "one cell") as files:
        files.open("a").write(b"new")
        files.place()
    assert old.read_bytes() == b"new"


def test_what_was_left_of_an_earlier_try_is_written_over(tmp_path: Path) -> None:
    """The rest of a killed export is not part of the next one."""
    partial_of(tmp_path / "x.json").write_bytes(b"rest")
    with Files(tmp_path / "x.json", ".json", "one cell") as files:
        files.append("a", b"1")
        files.place()
    assert (tmp_path / "x.json").read_bytes() == b"1"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    """What does not fit on the disk is an error, also where it shows at the end only."""
    partial = partial_of(tmp_path / "x.json")
    partial.symlink_to("/dev/full")
    with Files(tmp_path / "x.json", ".json", "one") as files:
        files.open("a").write(b"1")
        with pytest.raises(OSError, match="No space left"):
            files.place()
    assert everything(tmp_path) == []

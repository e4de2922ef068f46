"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from cab.adapters.output.whole_file import partial_of, put_in_place, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new bytes are in place, and nothing is left beside them."""
    file = tmp_path / "cell.json"
    write_whole(file, b"old")
    write_whole(file, b"new")

    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """What is being written is beside the file; the file itself changes at the end."""
    file = tmp_path / "calls.parquet"
    file.write_bytes(b"old")
    partial_of(file).write_bytes(b"new")

    assert file.read_bytes() == b"old"
    put_in_place(file)
    assert file.read_bytes() == b"new"


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Where there is no folder nothing is written."""
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "x", b"")

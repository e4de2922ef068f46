"""The journal: after a kill it is read and written on."""

from pathlib import Path

import pytest

from cab.adapters.sweeps.journal import (
    BadJournal,
    Begin,
    Close,
    End,
    Journal,
    Session,
    read_journal,
)

SESSION = Session(sweep={"name": "s"}, fingerprints={"agent aider": "1"}, cab_version="0")
BEGIN = Begin(slot="s/a/m/f/t#run1", cell_id="s/a/m/f/t#run1")
END = End(slot=BEGIN.slot, cell_id=BEGIN.cell_id, verdict="complete", passed=True, calls=3)


def test_written_and_read(tmp_path: Path) -> None:
    """What was written is read again, entry by entry, over several sessions."""
    file = tmp_path / "deep" / "journal.jsonl"
    with Journal(file) as journal:
        journal.write(SESSION)
        journal.write(BEGIN)
    with Journal(file) as journal:
        journal.write(END)
        journal.write(Close(reason="done"))

    *entries, close = read_journal(file)
    assert entries == [SESSION, BEGIN, END]
    assert isinstance(close, Close)
    assert b'{"schema":"cab.sweep/1","at":"' in file.read_bytes()


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_partial_line(tmp_path: Path, cut: int) -> None:
    """A line that a kill cut short is ignored, and removed before the next one is written."""
    file = tmp_path / "journal.jsonl"
    with Journal(file) as journal:
        journal.write(SESSION)
        journal.write(BEGIN)
    file.write_bytes(file.read_bytes()[:-cut])

    assert list(read_journal(file)) == [SESSION]
    with Journal(file) as journal:
        journal.write(END)
    assert list(read_journal(file)) == [SESSION, END]


def test_none(tmp_path: Path) -> None:
    """A sweep that was never started has no entries."""
    assert list(read_journal(tmp_path / "none")) == []


@pytest.mark.parametrize(
    "line",
    [b"{}\n", b"no JSON\n", b'{"schema":"cab.sweep/2","kind":"close","reason":"x"}\n', b"\n"],
)
def test_foreign(tmp_path: Path, line: bytes) -> None:
    """A complete line that is not an entry is an error that names it: nothing is guessed."""
    file = tmp_path / "journal.jsonl"
    file.write_bytes(SESSION.model_dump_json(by_alias=True).encode() + b"\n" + line)

    with pytest.raises(BadJournal, match=r"journal\.jsonl:2: is not an entry of a sweep's journal"):
        list(read_journal(file))


def test_one_writer(tmp_path: Path) -> None:
    """Two sweeps cannot write to one folder at the same time."""
    file = tmp_path / "journal.jsonl"
    with Journal(file), pytest.raises(BadJournal, match="another cab sweep is writing to"):
        Journal(file)
    with Journal(file) as journal:
        journal.write(END)


def test_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be used is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadJournal, match="cannot be written"):
        Journal(tmp_path / "file" / "journal.jsonl")
    with pytest.raises(BadJournal, match="cannot be read"):
        list(read_journal(tmp_path))

import asyncio
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.errors import BadConfig, LedgerFailed
from cab.proxy.ledger import Ledger, chain
from cab.scoring.records import GENESIS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def verify(folder: Path) -> list[dict[str, Any]]:
    """Check a ledger's chain from its bytes alone and return its records."""
    prev, records = GENESIS, []
    for segment in sorted(folder.glob("*.jsonl")):
        for raw in segment.read_bytes().splitlines(keepends=True):
            assert raw.endswith(b"\n")
            line = raw[:-1]
            digest = line[-66:-2].decode()
            assert line[-75:] == b',"hash":"' + digest.encode() + b'"}'
            assert hashlib.sha256(line[:-75] + b"}").hexdigest() == digest
            record = orjson.loads(line)
            assert record["prev"] == prev
            prev = digest
            records.append(record)
    return records


@given(st.dictionaries(st.text(), json_values))
def test_the_hash_is_that_of_the_line_without_it(record: dict[str, Any]) -> None:
    """Taking the hash member out of a line gives the bytes that were hashed, for any record."""
    record = {k: v for k, v in record.items() if k not in {"prev", "hash"}}
    line, digest = chain(record, GENESIS)
    assert hashlib.sha256(line[:-76] + b"}").hexdigest() == digest
    assert orjson.loads(line) == {**record, "prev": GENESIS, "hash": digest}


async def test_records_are_on_disk_when_append_answers(tmp_path: Path) -> None:
    """When append's future is done, another reader sees the record in the file."""
    ledger = Ledger(tmp_path / "a" / "ledger")
    await ledger.append({"kind": "start", "call_id": "1"})
    assert [r["call_id"] for r in verify(ledger.folder)] == ["1"]
    await ledger.close()


async def test_many_waiting_records_share_one_sync(tmp_path: Path) -> None:
    """Records that come while a sync runs are written together with the next one."""
    gate, syncs = threading.Event(), []

    def sync(descriptor: int) -> None:
        gate.wait(10)
        syncs.append(descriptor)
        os.fdatasync(descriptor)

    ledger = Ledger(tmp_path, sync=sync)
    waiting = [ledger.append({"kind": "end", "n": n}) for n in range(500)]
    gate.set()
    await asyncio.gather(*waiting)
    await ledger.close()
    assert [r["n"] for r in verify(tmp_path)] == list(range(500))
    assert len(syncs) < 10


async def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A ledger that is opened again continues the chain where it ended."""
    for n in range(3):
        ledger = Ledger(tmp_path)
        await ledger.append({"kind": "end", "n": n, "long": "x" * 100_000})
        await ledger.close()
    assert [r["n"] for r in verify(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("torn", [b'{"kind":"e', b"\xff\xfe", b"\x00" * 70_000])
async def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    """What a crash left without its newline goes, and the chain continues before it."""
    ledger = Ledger(tmp_path)
    await ledger.append({"kind": "end", "n": 0})
    await ledger.close()
    with ledger.segment.open("ab") as handle:
        handle.write(torn)
    ledger = Ledger(tmp_path)
    await ledger.append({"kind": "end", "n": 1})
    await ledger.close()
    assert [r["n"] for r in verify(tmp_path)] == [0, 1]


async def test_a_ledger_torn_in_its_first_line_starts_anew(tmp_path: Path) -> None:
    """A first line without a newline is cut off, and the chain starts at zero."""
    (tmp_path / "w0-000001.jsonl").write_bytes(b'{"kind":')
    ledger = Ledger(tmp_path)
    await ledger.append({"kind": "end", "n": 0})
    await ledger.close()
    assert len(verify(tmp_path)) == 1


async def test_a_folder_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """A segment whose last line is no record is not written to."""
    (tmp_path / "w0-000001.jsonl").write_bytes(b"hello\n")
    with pytest.raises(BadConfig, match="its last line is no record"):
        Ledger(tmp_path)


async def test_a_second_writer_is_locked_out(tmp_path: Path) -> None:
    """Two proxies cannot write to one folder; the second is told so."""
    ledger = Ledger(tmp_path)
    with pytest.raises(BadConfig, match="is being written by another proxy"):
        Ledger(tmp_path)
    await ledger.close()
    await Ledger(tmp_path).close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A ledger below a file gives one line that names folder and flag."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        BadConfig, match=r"file/ledger cannot be written: Not a directory; .*--ledger"
    ):
        Ledger(tmp_path / "file" / "ledger")


async def test_after_a_failed_write_no_record_is_taken(tmp_path: Path) -> None:
    """A disk that refuses one record stops the ledger: the chain must not go on behind a gap."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    ledger = Ledger(tmp_path, sync=full)
    for _ in range(2):
        with pytest.raises(LedgerFailed, match="No space left"):
            await ledger.append({"kind": "end"})
    assert "No space left" in (ledger.failure or "")
    await ledger.close()


async def test_a_call_that_gave_up_waiting_harms_nobody(tmp_path: Path) -> None:
    """Cancelling one waiting record neither loses it nor disturbs the others."""
    gate = threading.Event()

    def sync(descriptor: int) -> None:
        gate.wait(10)
        os.fdatasync(descriptor)

    ledger = Ledger(tmp_path, sync=sync)
    first, second = ledger.append({"n": 1}), ledger.append({"n": 2})
    first.cancel()
    gate.set()
    await second
    await ledger.close()
    assert [r["n"] for r in verify(tmp_path)] == [1, 2]

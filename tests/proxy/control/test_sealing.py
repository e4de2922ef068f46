import asyncio
import hashlib
from pathlib import Path
from typing import Any, Literal

import pytest

from cab.proxy.accounting.admission import LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.clock import Clock
from cab.proxy.control.ledger_reads import LedgerReads
from cab.proxy.control.sealing import Sealer, slice_lines, unsigned
from cab.proxy.errors import LedgerFailed
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.writer import LedgerOptions
from cab.scoring.ledger.seals import seal_lines
from tests.proxy.ledger.test_ledger import Disk, until
from tests.proxy.restoring import restored
from tests.scoring.builders import start_fields
from tests.scoring.ledgers import calls, overlong
from tests.tools.proxy import records


async def test_a_slice_holds_one_cells_lines_verbatim(tmp_path: Path) -> None:
    """The slice of a cell is its START and END lines as they stand, and its digest is theirs."""
    ledger = Ledger(tmp_path)
    tricky = 'a"cell_id":"b'
    for cell_id in ("b", tricky, "bb"):
        await ledger.append({"kind": "start", "cell_id": cell_id, "note": '"cell_id":"b"'})
    await ledger.append({"kind": "cell_seal", "cell_id": "b"})
    await ledger.close()
    lines = list(slice_lines(tmp_path, "b"))
    assert lines == [ledger.segment.read_bytes().splitlines(keepends=True)[0]]
    assert list(slice_lines(tmp_path, tricky)) == [
        ledger.segment.read_bytes().splitlines(keepends=True)[1]
    ]
    digest = hashlib.sha256(lines[0]).hexdigest()
    assert seal_lines(lines)["digest"] == f"sha256:{digest}"


async def test_no_seal_is_made_of_a_ledger_that_cannot_be_read_whole(tmp_path: Path) -> None:
    """A damaged segment does not keep a proxy from starting, but no slice or seal passes over it."""
    ledger = Ledger(tmp_path)
    await ledger.append({"kind": "start", "cell_id": "a", "seq": 3})
    await ledger.close()
    (tmp_path / "w1-000001.jsonl.zst").write_bytes(b"no zstd")

    cells = restored(tmp_path)

    assert cells["a"].next_seq() == 4
    with pytest.raises(LedgerFailed, match=r"w1-000001\.jsonl\.zst cannot be read"):
        list(slice_lines(tmp_path, "a"))


@pytest.mark.parametrize("on_failure", ["closed", "open"])
async def test_a_seal_that_the_disk_refuses_leaves_the_cell_open(
    tmp_path: Path, on_failure: Literal["closed", "open"]
) -> None:
    """The cell can be called with and sealed again; the refused seal never comes to the ledger."""
    disk, cells = Disk(), CellStates()
    options = LedgerOptions(on_failure=on_failure, retry_s=0.01)
    ledger = Ledger(tmp_path, sync=disk.sync, options=options)
    sealer = Sealer(LocalCellRegistry(cells, 1), ledger, Clock(), unsigned, LedgerReads())
    await ledger.append({"kind": "start", "cell_id": "a", "call_id": "1", "seq": 1})
    disk.full = True
    with pytest.raises(LedgerFailed, match="No space left"):
        await sealer.seal("a")
    assert not cells["a"].sealed
    disk.full = False
    await until(lambda: ledger.failure is None)
    await ledger.append({"kind": "start", "cell_id": "a", "call_id": "2", "seq": 2})
    seal = await sealer.seal("a")
    assert (seal["records"], cells["a"].sealed) == (2, True)
    await ledger.close()
    assert [record["records"] for record in records(tmp_path, "cell_seal")] == [2]
    again = restored(tmp_path)
    assert again["a"].sealed


async def test_a_seal_whose_caller_has_gone_leaves_no_half_of_it(tmp_path: Path) -> None:
    """A client that hangs up changes nothing: the cell is sealed and has its seal, or is open."""
    disk, cells = Disk(), CellStates()
    ledger = Ledger(tmp_path, sync=disk.sync, options=LedgerOptions(retry_s=60))
    sealer = Sealer(LocalCellRegistry(cells, 1), ledger, Clock(), unsigned, LedgerReads())
    await ledger.append({"kind": "start", "cell_id": "a", "call_id": "1", "seq": 1})
    handed_over = asyncio.Event()

    def sign(seal: dict[str, Any]) -> dict[str, Any]:
        disk.full = True
        asyncio.get_running_loop().call_soon(handed_over.set)
        return seal

    sealer._sign = sign
    sealing = asyncio.create_task(sealer.seal("a"))  # noqa: TID251 - awaited below
    await handed_over.wait()
    sealing.cancel()
    await asyncio.gather(sealing, return_exceptions=True)
    await until(lambda: not cells["a"].sealed)
    await ledger.close()
    assert records(tmp_path, "cell_seal") == []


async def test_a_damaged_line_of_another_cell_is_no_obstacle(tmp_path: Path) -> None:
    """A line that is too long keeps nobody else from a seal; its own cell has no smaller sum."""
    ledger = Ledger(tmp_path)
    for fields in calls(1, "a"):
        await ledger.append(fields)
    with ledger.segment.open("ab") as handle:
        handle.write(overlong("end", "c9", "b") + overlong("start", "c9", "b"))
    sealer = Sealer(LocalCellRegistry(CellStates(), 1), ledger, Clock(), unsigned, LedgerReads())
    seal = await sealer.seal("a")
    assert (seal["calls"], seal["total_tokens"], seal.get("damaged_calls")) == (1, 120, None)
    other = await sealer.seal("b")
    assert (other["calls"], other["total_tokens"], other["damaged_calls"]) == (0, None, 1)
    await ledger.close()


async def test_after_a_restart_a_damaged_line_gives_no_fresh_budget(tmp_path: Path) -> None:
    """What is behind the line counts, the numbers go on, and its own cell's sum is unknown."""
    ledger = Ledger(tmp_path)
    await ledger.append(start_fields("c0", cell_id="a", seq=1))
    with ledger.segment.open("ab") as handle:
        handle.write(overlong("start", "c9", "b"))
    await ledger.close()
    ledger = Ledger(tmp_path)
    for fields in calls(3, "a"):
        await ledger.append(fields)
    await ledger.close()
    cells = restored(tmp_path)
    assert cells["a"].totals.tokens.total.known == 360
    assert cells["a"].next_seq() == 4
    assert cells["b"].totals.tokens.total.value is None
    assert cells["b"].next_seq() == 2

import hashlib
from pathlib import Path

import pytest

from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.control.sealing import slice_lines
from cab.proxy.errors import LedgerFailed
from cab.proxy.ledger.ledger import Ledger
from cab.scoring.ledger.seals import seal_lines


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

    cells = CellStates()
    cells.restore(tmp_path)

    assert cells["a"].next_seq() == 4
    with pytest.raises(LedgerFailed, match=r"w1-000001\.jsonl\.zst cannot be read"):
        list(slice_lines(tmp_path, "a"))

"""What the ledger has of a run, from records written by hand."""

from pathlib import Path

import pytest

from cab.adapters.doctor.ledger_evidence import read_wire
from tests.scoring.builders import CELL_ID, end_fields, line, start_fields


@pytest.mark.parametrize(("latency_ms", "ended_ms"), [(250.0, 250.0), (None, None)])
def test_an_end_that_is_not_known_is_no_zero(
    latency_ms: float | None, ended_ms: float | None, tmp_path: Path
) -> None:
    """A request without a duration has no end."""
    ended = end_fields("a", latency_ms=latency_ms, overhead_ms=None)
    (tmp_path / "1-000001.jsonl").write_bytes(line(start_fields("a")) + line(ended))
    wire = read_wire(tmp_path, CELL_ID, {"by_call": []}, "real")
    assert [each.ended_ms for each in wire.attempts] == [ended_ms]

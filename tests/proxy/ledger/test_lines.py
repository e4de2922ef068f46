"""Lines that every reader takes."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.lines import UnfitRecord, fitting_line
from cab.proxy.ledger.recovery import recover
from cab.proxy.ledger.scan import scan_chain
from cab.proxy.ledger.writer import LedgerOptions, Writer
from cab.scoring.ledger.bounds import MAX_RECORD_BYTES
from cab.scoring.ledger.records import GENESIS, parse_record
from cab.scoring.ledger.verify import verify_ledger
from tests.proxy.ledger.test_ledger import verify
from tests.proxy.ledger.test_writer import end, start, writer
from tests.scoring.builders import end_fields, start_fields
from tests.scoring.ledgers import overlong


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n": object()}, "as JSON"),
        ({"n": 2**64}, "as JSON"),
        ({"seq": True}, "as a line: seq is neither"),
        ({"seq": 2**53 + 1}, "as a line: seq is neither"),
        ({"cell_id": 5}, "as a line: cell_id is neither"),
        ({"call_id": ["x"]}, "as a line: call_id is neither"),
        ({"cell_id": "c" * MAX_RECORD_BYTES}, "as a line: it is longer than 65536 bytes"),
    ],
)
def test_what_no_reader_takes_is_not_written(changes: dict[str, Any], said: str) -> None:
    """A record that a reader would pass over is refused, and the reason is named."""
    with pytest.raises(UnfitRecord, match=said):
        fitting_line(end_fields(**changes), GENESIS)


def test_what_is_too_large_is_left_out() -> None:
    """A line that is too long loses its largest values, and says so; its call stays."""
    large: dict[str, Any] = {
        "usage_raw": {"x": "\x01" * 9000},
        "usage_parts": [{"type": "\x01" * 9000}],
    }
    line, _ = fitting_line(end_fields(**large), GENESIS)
    assert len(line) <= MAX_RECORD_BYTES
    record = parse_record(line)
    assert vars(record)["usage_raw"] is None or vars(record)["usage_parts"] is None
    assert vars(record)["clipped"]


def test_a_segment_with_many_open_calls_leaves_them_to_the_segment_before(tmp_path: Path) -> None:
    """Its first record has no room for them; a scan begins one segment earlier, and finds them all."""
    making = writer(tmp_path, LedgerOptions(segment_max_bytes=100_000))
    calls = [start_fields(f"c{n}") for n in range(400)]
    making.write(calls)
    making.write([end("0")])
    making.close()
    [opened] = [record for record in verify(tmp_path) if record["kind"] == "segment_open"]
    assert "open_calls" not in opened
    assert len(scan_chain(tmp_path, 0).open_calls) == 400
    assert all(len(line) <= MAX_RECORD_BYTES for line in lines_of(tmp_path))
    [recovered] = recover(tmp_path)
    assert recovered.crash_ends == 400


def lines_of(folder: Path) -> list[bytes]:
    return [line for file in folder.glob("*.jsonl") for line in file.read_bytes().splitlines()]


def test_an_overlong_start_of_an_earlier_version_is_ended(tmp_path: Path) -> None:
    """A line that is too long to read is named by the recovery, and writing goes on behind it."""
    making = writer(tmp_path)
    making.write([start("1")])
    making.close()
    with making.segment.open("ab") as handle:
        handle.write(overlong())
    [recovered] = recover(tmp_path)
    assert (recovered.damaged_lines, recovered.crash_ends) == (1, 1)
    again = Writer(tmp_path, 0, lambda _: None, LedgerOptions(), making._clock)
    again.write([start("2"), end("2")])
    again.close()
    assert [fault.line for fault in verify_ledger(tmp_path).faults] == [2]


async def test_every_record_of_a_ledger_is_bounded(tmp_path: Path) -> None:
    """Whatever is handed over, and of whatever kind: no line is longer than 64 KiB."""
    ledger = Ledger(tmp_path)
    for kind in ("start", "end", "cell_seal", "proxy_start", "something_new"):
        fields = {"kind": kind, "model_requested": "m" * 17_000_000, "other": "o" * 17_000_000}
        await ledger.append({**fields, "list": ["x" * 100_000], "error": {"message": "e" * 9000}})
    await ledger.close()
    for line in lines_of(tmp_path):
        assert len(line) <= MAX_RECORD_BYTES
        assert {"model_requested", "other"} <= set(orjson.loads(line)["clipped"])

from pathlib import Path

from cab.scoring.ledger.reading import iter_records
from cab.scoring.ledger.records import parse_record
from cab.scoring.ledger.totals import CellTotals, total_cells
from tests.scoring.builders import end_fields, line, start_fields, unmeasured
from tests.scoring.ledgers import calls, write_ledger

OTHER = "local/aider/m/f/t"


def test_cells_are_totalled_in_one_pass(tmp_path: Path) -> None:
    """Each cell of a ledger has its own sums, calls without a cell have theirs, over all workers."""
    write_ledger(tmp_path, [*calls(3, "a"), *calls(1, None)], per_segment=3, compressed=True)
    write_ledger(tmp_path, [*calls(2, "b"), *calls(1, "a")], worker=1)
    totals = total_cells(iter_records(tmp_path))
    assert list(totals) == ["a", None, "b"]
    assert [(each.attempts, each.tokens.total.value) for each in totals.values()] == [
        (4, 480),
        (1, 120),
        (2, 240),
    ]
    assert totals["a"].latency_ms.value == 2000


def test_a_cell_can_be_chosen(tmp_path: Path) -> None:
    """The filters of reading hold for totals as well."""
    write_ledger(tmp_path, [*calls(3, "a/x"), *calls(1, "b/x")])
    assert list(total_cells(iter_records(tmp_path, "b/"))) == ["b/x"]


def totals_of(*records: dict[str, object]) -> CellTotals:
    [totals] = total_cells(parse_record(line(fields)) for fields in records).values()
    return totals


def test_what_was_not_measured_makes_a_sum_unknown() -> None:
    """A call without a count, or without its END, leaves the sum unknown and keeps what is known."""
    for odd in (unmeasured("b"), start_fields("b")):
        totals = totals_of(start_fields("a"), end_fields("a"), odd)
        assert (totals.attempts, totals.unmeasured_calls) == (2, 1)
        assert (totals.tokens.total.value, totals.tokens.total.known) == (None, 120)


def test_what_cost_nothing_needs_no_count() -> None:
    """Errors of the endpoint, rejected calls and calls that are no model calls leave sums known."""
    totals = totals_of(
        end_fields("a"),
        unmeasured("b", status=429),
        unmeasured("c", end_reason="rejected", status=400),
        unmeasured("d", endpoint="other"),
        start_fields("e", endpoint="other"),
    )
    assert (totals.attempts, totals.rejected, totals.unmeasured_calls) == (2, 1, 0)
    assert totals.tokens.total.value == 120


def test_repetitions_and_times_are_kept() -> None:
    """Repetitions are counted, and the first and last start are told whatever the order."""
    totals = totals_of(
        end_fields("a", started_at="2026-11-20T12:00:02.000000Z"),
        end_fields("b", attempt=2, retry_of="a", started_at="2026-11-20T12:00:01.000000Z"),
    )
    assert (totals.attempts, totals.repetitions) == (2, 1)
    assert (totals.first_at, totals.last_at) == (
        "2026-11-20T12:00:01.000000Z",
        "2026-11-20T12:00:02.000000Z",
    )
    assert totals_of(end_fields(endpoint="other")).first_at is None

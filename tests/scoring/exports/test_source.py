import shutil
from pathlib import Path

import pytest

from cab.scoring.errors import BadRecord
from cab.scoring.exports.source import cell_of, source_of
from cab.scoring.score import score_one
from tests.scoring.builders import FIXTURES, PAGES, end_fields, start_fields
from tests.scoring.exports.cells import bundle, cell_id, source

IMPORTS = FIXTURES.parent / "imports"


def test_calls_come_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    """A call is its END, a START stands for a call without one, and what is no model call is left out."""
    late = {"started_at": "2026-11-20T12:00:01.000000Z", "ended_at": "2026-11-20T12:00:02.000000Z"}
    calls = [
        start_fields("b", seq=2, started_at=late["started_at"]),
        end_fields("b", seq=2, **late),
        end_fields("a"),
        end_fields("other", endpoint="other"),
        end_fields("rejected", end_reason="rejected", status=401),
        {"kind": "note", "text": "of a newer version"},
        start_fields("open", seq=3, started_at="2026-11-20T12:00:02.000000Z"),
    ]
    found = list(source(tmp_path / "b", calls=calls).calls())
    assert [(call.call_id, call.kind) for call in found] == [
        ("a", "end"),
        ("b", "end"),
        ("open", "start"),
    ]


def test_a_cell_json_on_its_own_has_facts_and_no_calls(tmp_path: Path) -> None:
    """A `cell.json` that was taken out of its bundle is exported with what it says."""
    folder = bundle(tmp_path / "b", calls=[end_fields()])
    alone = Path(shutil.copy(folder / "cell.json", tmp_path / "alone.json"))
    found = source_of(score_one(alone))
    assert str(found.cell_id) == cell_id()
    assert found.cell.scorers.tokens.total_tokens == 120
    assert found.file("calls.jsonl") is None
    assert list(found.calls()) == []


def test_a_bundle_without_a_slice_has_no_calls(tmp_path: Path) -> None:
    """A cell that was not metered has no calls, which is no error."""
    assert list(source(tmp_path / "b", calls=None).calls()) == []


@pytest.mark.parametrize(
    "file",
    [PAGES[0], PAGES[0].with_suffix(".page.txt"), next(IMPORTS.rglob("two-steps*/result.json"))],
    ids=["page", "text", "import"],
)
def test_a_page_has_no_facts(file: Path) -> None:
    """Pages and cells of other harnesses are refused; the error names the format that takes them."""
    scored = score_one(file)
    assert cell_of(scored) is None
    with pytest.raises(BadRecord, match="holds scores and no facts; export it as parquet"):
        source_of(scored)


def test_a_start_at_no_time_is_named(tmp_path: Path) -> None:
    """A START whose time cannot be read is told with its file and field."""
    found = source(tmp_path / "b", calls=[start_fields("a", started_at="soon")])
    with pytest.raises(BadRecord, match=r"calls\.jsonl: started_at: 'soon' is not an instant"):
        list(found.calls())

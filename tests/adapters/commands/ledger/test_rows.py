import pytest

from cab.adapters.commands.ledger.rows import CALL_COLUMNS, call_cells, record_line
from cab.adapters.ui.layout import layout
from tests.scoring.builders import end_fields, open_fields

TABLE = layout(CALL_COLUMNS, (), None)


def call_line(fields: dict[str, object]) -> str:
    """Return a call as a pipe gets it."""
    return TABLE.line(call_cells(fields))


def test_columns_stand_under_their_titles() -> None:
    """The columns of a line begin or end where their titles do."""
    line, title = call_line(end_fields(model_served="m", cell_id="c")), next(TABLE.head())
    assert line.index("completed") == title.index("end")
    assert line.index("100") + 3 == title.index("prompt") + len("prompt, tokens")
    assert line.index("upstream") == title.index("counted by")
    assert line.rindex("c") == title.rindex("cell")


def test_odd_values_are_shown_and_obeyed_by_nobody() -> None:
    """A record with anything in any member is one printable line; unknown is a dash."""
    line = call_line(
        {"cell_id": "\x1b[31m\n", "latency_ms": "soon", "status": [1], "model_served": 0}
    )
    assert line.isprintable()
    assert line.startswith("-  ")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (
            {"kind": "proxy_start", "at": "2026-11-20T12:00:00.000000Z"},
            "2026-11-20T12:00:00  proxy_start",
        ),
        (
            {"kind": "cell_seal", "sealed_at": "2026-11-20T12:00:00Z", "cell_id": "c"},
            "2026-11-20T12:00:00  cell_seal  c",
        ),
        (open_fields("c"), "2026-11-20T11:59:59  cell_open  c"),
        ({"kind": "new"}, "new"),
    ],
)
def test_other_records_are_short(fields: dict[str, str], shown: str) -> None:
    """A record that is not a call shows its time, its kind and its cell, if it has them."""
    assert record_line(fields, TABLE) == shown
    assert record_line(end_fields(), TABLE) == call_line(end_fields())

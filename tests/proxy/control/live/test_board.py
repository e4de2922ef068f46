"""What the board makes of a ledger's lines, whoever wrote them."""

from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.accounting.admission import CellLimits
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.control.live.board import QUIET_S, Board
from cab.scoring.ledger.totals import CallTotals
from tests.scoring.builders import end_fields, start_fields

NOW_S = 1_795_435_200.0  # 2026-11-23T12:00:00Z

FREE: dict[str, Any] = {
    "total_tokens": None,
    "usage_source": "none",
    "status": 429,
    "end_reason": "upstream_error",
}
"""Members of an END that the endpoint refused: it has cost nothing."""

WINDOWS = KeyLimits(max_calls_per_minute=60, max_cost_usd_per_day=Decimal(20))
SPENT = (("max_calls_per_minute", 7), ("max_cost_usd_per_day", "1.5"))


def at(ago_s: float) -> str:
    """Return an instant that long before now."""
    left = 12 * 3600 - ago_s
    return f"2026-11-23T{int(left // 3600):02d}:{int(left % 3600 // 60):02d}:{left % 60:09.6f}Z"


def line(fields: dict[str, Any]) -> bytes:
    return orjson.dumps(fields) + b"\n"


def call(
    call_id: str, cell: str | None = "s/a/m/f/t", seq: int = 1, ago_s: float = 5, **end: Any
) -> list[bytes]:
    """Return START and END of a call that ended some seconds ago, after a second."""
    both = {"cell_id": cell, "seq": seq, "started_at": at(ago_s + 1)}
    start = {**start_fields(call_id), **both}
    return [line(start), line({**end_fields(call_id), **both, "ended_at": at(ago_s), **end})]


def board(*lines: bytes) -> Board:
    found = Board()
    found.read(lines)
    return found


def test_a_cell_from_its_opening_to_its_seal() -> None:
    """It runs once it is open, has its calls, and is among those just sealed at the end."""
    opened = line({"kind": "cell_open", "cell_id": "s/a/m/f/t", "opened_at": at(9)})
    found = board(opened)
    (cell,) = found.state(NOW_S)["cells"]
    assert (cell["calls"], cell["tokens_mark"], cell["cost_usd"]) == (0, "none yet", None)
    assert cell["first_ms"] == round(1000 * (NOW_S - 9))

    start, end = call("c1", total_tokens=70, cost_usd="0.25")
    found.read([start])
    state = found.state(NOW_S)
    assert (state["calls_in_flight"], state["cells"][0]["in_flight"]) == (1, 1)
    found.read([end])
    (cell,) = found.state(NOW_S)["cells"]
    assert (cell["calls"], cell["in_flight"], cell["tokens"]) == (1, 0, 70)
    assert (cell["tokens_mark"], cell["cost_usd"], cell["cost_is_least"]) == (
        "measured",
        "0.25",
        False,
    )
    assert cell["bars"] == [(round(1000 * (NOW_S - 6)), 1000, True)]

    found.read([line({"kind": "cell_seal", "cell_id": "s/a/m/f/t", "sealed_at": at(1)})])
    state = found.state(NOW_S)
    assert (state["running_cells"], state["cells"]) == (0, [])
    assert [cell["cell_id"] for cell in state["ended"]] == ["s/a/m/f/t"]


def test_marks() -> None:
    """Estimated where the tokenizer counted; at least where a call is uncounted, or was not seen."""
    lines = [
        *call("a", "estimated", usage_source="tokenizer"),
        *call("b", "uncounted", seq=1),
        *call("c", "uncounted", seq=2, total_tokens=None, usage_source="none"),
        *call("d", "begun earlier", seq=9),
        *call("e", "nothing known", total_tokens=None, usage_source="none"),
        *call("f", "refused only", **FREE),
    ]
    cells = {cell["cell_id"]: cell for cell in board(*lines).state(NOW_S)["cells"]}
    marks = {name: cell["tokens_mark"] for name, cell in cells.items()}
    assert marks == {
        "estimated": "estimated",
        "uncounted": "at least",
        "begun earlier": "at least",
        "nothing known": "not recorded",
        "refused only": "measured",
    }
    assert cells["begun earlier"]["cost_is_least"]


def test_dollars_name_their_prices() -> None:
    """Of a cell and of the last minute: each source, and of what kind the weakest one is."""
    lines = [
        *call("a", "one", cost_usd="0.1", price_source="upstream"),
        *call("b", "one", seq=2, cost_usd="0.2", price_source="table:acme@1+0a"),
        *call("c", "two", cost_usd="0.3", price_source="upstream"),
        *call("d", "none", seq=1),
        *call("e", "old", ago_s=100, cost_usd="0.3", price_source="genai-prices@1"),
    ]
    state = board(*lines).state(NOW_S)
    said = {cell["cell_id"]: (cell["price_kind"], cell["price_sources"]) for cell in state["cells"]}
    both = ["table:acme@1+0a", "upstream"]
    assert said == {
        "one": ("table", both),
        "two": ("endpoint", ["upstream"]),
        "none": (None, []),
        "old": ("genai-prices", ["genai-prices@1"]),
    }
    assert (state["minute"]["price_kind"], state["minute"]["price_sources"]) == ("table", both)


def test_the_last_minute() -> None:
    """Sums and percentiles are of the last minute; what nobody counted or priced is said."""
    lines = [
        *call("a", ago_s=61, total_tokens=1000),
        *call("b", seq=2, ago_s=30, total_tokens=100, ttft_ms=10.0, cost_usd="0.10"),
        *call("c", seq=3, ago_s=2, total_tokens=20, ttft_ms=30.0, usage_source="tokenizer"),
        *call("d", seq=4, ago_s=2, total_tokens=None, usage_source="none", ttft_ms=None),
        *call("e", seq=5, ago_s=2, **FREE),
    ]
    found = board(*lines)
    minute = found.state(NOW_S)["minute"]
    assert (minute["calls"], minute["failed"], minute["tokens"]) == (4, 1, 120)
    assert (minute["estimated_tokens"], minute["uncounted_calls"]) == (20, 1)
    assert (minute["cost_usd"], minute["unpriced_calls"]) == ("0.10", 2)
    assert (minute["price_kind"], minute["price_sources"]) == ("unknown", ["unnamed"])
    assert (minute["ttft_ms_p50"], minute["ttft_ms_p95"]) == (10.0, 30.0)
    assert (sum(minute["tokens_by_second"]), minute["tokens_by_second"][-3]) == (120, 20)
    assert minute["failed_by_second"][-3] == 1
    (failure,) = found.state(NOW_S)["failures"]
    assert (failure["status"], failure["end_reason"]) == (429, "upstream_error")


def test_budgets() -> None:
    """Each limit of the key with what counts against it; none where there is none, null where it is not known."""
    found = board(
        *call("a", total_tokens=70, cost_usd="0.25"),
        *call("b", "begun earlier", seq=9),
        *call("c", "free"),
        *call("d", "unknown"),
        *call("f", "windows"),
        *call("e", "spent", total_tokens=None, usage_source="none", cost_usd=None),
    )
    assert sorted(map(str, found.changed())) == sorted(
        ["s/a/m/f/t", "begun earlier", "free", "unknown", "spent", "windows"]
    )
    assert found.changed() == []
    limits = KeyLimits(9, 500, Decimal("2.50"))
    key = CellLimits(limits, 1_795_435_260, "charge", None)
    elsewhere = CallTotals()
    elsewhere.add({**end_fields("z"), "total_tokens": 30, "cost_usd": "1"})
    found.limit(
        [
            ("s/a/m/f/t", key._replace(elsewhere=elsewhere)),
            ("begun earlier", key),
            ("free", CellLimits(KeyLimits(), None, "charge", None)),
            ("windows", CellLimits(WINDOWS, None, "charge", None, SPENT)),
            ("spent", key._replace(on_unknown="exhaust")),
            ("gone", key),
            ("unknown", None),
        ]
    )
    cells = {cell["cell_id"]: cell["budget"] for cell in found.state(NOW_S)["cells"]}
    assert cells["s/a/m/f/t"] == {
        "calls": {"limit": 9, "spent": 2},
        "tokens": {"limit": 500, "spent": 100},
        "cost_usd": {"limit": "2.50", "spent": "1.25"},
        "expires_ms": 1_795_435_260_000,
    }
    assert [part["spent"] for part in list(cells["begun earlier"].values())[:3]] == [None] * 3
    assert (cells["free"], cells["unknown"]) == ({}, None)
    assert cells["windows"] == {
        "calls_per_minute": {"limit": 60, "spent": 7},
        "cost_usd_per_day": {"limit": "20", "spent": "1.5"},
    }
    spent = cells["spent"]
    assert [spent[name]["spent"] for name in ("calls", "tokens", "cost_usd")] == [1, None, None]


def test_a_start_behind_its_end_is_not_in_flight() -> None:
    """Of a call whose START and END come in one read, only the END is parsed, unless it is damaged."""
    start, end = call("a")
    assert board(start, end).state(NOW_S)["calls_in_flight"] == 0
    assert board(start, end[:-9] + b"\n").state(NOW_S)["calls_in_flight"] == 1
    whole = board(start, end).state(NOW_S)["cells"]
    apart = board(start)
    apart.read([end])
    assert apart.state(NOW_S)["cells"] == whole


def test_a_quiet_cell_runs_no_more() -> None:
    """But one with a call in flight does, however long that takes; an unpriced minute has no cost."""
    start, _ = call("b", "busy", ago_s=3 * QUIET_S)
    found = board(*call("a", "quiet", ago_s=QUIET_S + 1), start, *call("c", None, ago_s=1))
    assert [cell["cell_id"] for cell in found.state(NOW_S)["cells"]] == ["busy", None]
    assert found.state(NOW_S)["minute"]["cost_usd"] is None


def test_memory_is_bounded() -> None:
    """Of very many cells the quiet ones are forgotten first, and never one with a call in flight."""
    start, _ = call("b", "busy")
    found = board(start)
    for number in range(3000):
        found.read(call(f"c{number}", f"cell {number}"))
    state = found.state(NOW_S)
    assert state["running_cells"] == 2000
    assert len(state["cells"]) == 200
    assert state["cells"][0]["cell_id"] == "busy"


def test_names_are_printable() -> None:
    """Control and direction characters of a cell's id are visible, and its length is bounded."""
    (cell,) = board(*call("a", "x\x1b[2J\u202e" + "y" * 999)).state(NOW_S)["cells"]
    assert "\x1b" not in cell["cell_id"]
    assert "\u202e" not in cell["cell_id"]
    assert len(cell["cell_id"]) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.lists(st.binary(max_size=40) | JSON.map(orjson.dumps), max_size=5), st.data())
def test_damaged_lines_are_passed_over(noise: list[bytes], data: st.DataObject) -> None:
    """Whatever stands between two records, and whatever a record's members are, the others count."""
    start, end = call("a", total_tokens=7)
    fields = orjson.loads(end)
    name = data.draw(st.sampled_from(sorted(fields)))
    odd = orjson.dumps({**fields, "call_id": "b", "cell_id": "odd", name: data.draw(JSON)})
    found = board(start, *noise, odd, end)
    cells = {str(cell["cell_id"]): cell for cell in found.state(NOW_S)["cells"]}
    assert cells["s/a/m/f/t"]["tokens"] >= 7
    orjson.dumps(found.state(NOW_S))

"""The views' sums are those of the ledger's own code, to the token and the last digit of a price."""

import re
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cab.scoring.ledger.reading import find_records
from cab.scoring.ledger.totals import total_cells
from tests.tools.shipped import Database, call, calls, chained, ship

pytestmark = pytest.mark.postgres

COUNTS = st.one_of(
    st.none(),
    st.integers(0, 10**9),
    st.sampled_from([-1, 10**9 + 1, 2**64 - 1, 1.5, "7", True, []]),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNTS,
        "completion_tokens": COUNTS,
        "total_tokens": COUNTS,
        "cache_read_tokens": COUNTS,
        "cache_write_tokens": COUNTS,
        "reasoning_tokens": COUNTS,
        "prompt_tokens_at_most": COUNTS,
        "completion_tokens_at_most": COUNTS,
        "usage_source": st.sampled_from(["upstream", "tokenizer", "none", None]),
        "usage_status": st.sampled_from(["complete", "partial", "overflow", "inconsistent", None]),
        "endpoint": st.sampled_from(["chat.completions", "other", "embeddings", [], None]),
        "may_cost": st.booleans(),
        "end_reason": st.sampled_from(["completed", "rejected", "upstream_error", "crash"]),
        "status": st.sampled_from([200, 400, 429, 499, 500, None]),
        "upstream_attempts": st.sampled_from([0, 1, 2, None]),
        "attempt": st.sampled_from([1, 2, 3]),
        "cost_usd": st.sampled_from(["0.1", "0.000000000001", "1e-7", 0.3, "free", "-1", None]),
        "latency_ms": st.sampled_from([None, 1.25, 3, 1e9, "7"]),
        "cell_id": st.sampled_from(["a/b/c/d/e", "a/b/c/d/e#run2", None]),
        "key_id": st.sampled_from(["k1", "k2", None]),
        "model_served": st.sampled_from(["m", "other/model", None]),
    },
)
COLUMNS = (
    *("calls", "attempts", "repetitions", "unmeasured", "partial", "rejected"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "known_total_tokens"),
    *("upper_total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("cost_usd", "known_cost_usd", "latency_ms"),
)


@st.composite
def ledgers(draw: st.DrawFn) -> list[bytes]:
    """Return the lines of a ledger: calls that ended or did not, cells without calls, damage."""
    records: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 8))):
        start, end = call(number, **draw(CHANGES))
        records += draw(st.sampled_from([[start, end], [start], [end], [start, end]]))
    records += draw(
        st.lists(
            st.sampled_from(
                [
                    {"kind": "cell_open", "cell_id": "open/b/c/d/e"},
                    {"kind": "cell_seal", "cell_id": "a/b/c/d/e"},
                ]
            ),
            max_size=2,
        )
    )
    lines, _ = chained(draw(st.permutations(records)) if draw(st.booleans()) else records)
    for at in draw(st.lists(st.integers(0, len(lines) - 1), max_size=2)):
        lines[at] = re.sub(rb'"request_hash".*|"ended_at".*', b"garbage\n", lines[at])
    return lines


def sums_by_code(ledger: Path) -> dict[str | None, tuple[Any, ...]]:
    found = find_records(ledger, on_damage=lambda _: None)
    rows: dict[str | None, tuple[Any, ...]] = {}
    for cell_id, total in total_cells(each.fields for each in found).items():
        tokens = total.tokens
        rows[cell_id] = (
            *(total.calls, total.attempts, total.repetitions, total.unmeasured_calls),
            *(total.partial_calls, total.rejected, tokens.prompt.value, tokens.completion.value),
            *(tokens.total.value, tokens.total.known, total.interval.upper_total),
            *(tokens.cache_read.value, tokens.cache_write.value, tokens.reasoning.value),
            *(total.cost.value, total.cost.known, total.latency_ms.value),
        )
    return rows


@given(lines=ledgers())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_by_cell_are_those_of_the_ledger(database: Database, lines: list[bytes]) -> None:
    """For any calls, ended, broken, repeated or damaged, the view and the code that adds up ledgers agree."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "w0-000001.jsonl").write_bytes(b"".join(lines))
        ship(Path(folder), database)
        in_view = {
            row[0]: row[1:]
            for row in database.rows(f"select cell_id, {', '.join(COLUMNS)} from cab.cells")
        }
        database.do("truncate cab.lines, cab.chains")
        assert in_view == sums_by_code(Path(folder))


def test_other_groups_add_up_to_the_same(tmp_path: Path, database: Database) -> None:
    """Sums by key, by model and by day come to what the cells come to; a call is listed once."""
    records = calls(0, 6)
    records += call(6, key_id="k", model_served="n", started_at="2026-11-21T00:00:00Z")
    records += call(6, key_id="k", prompt_tokens=1)[1:]  # a second END of the same call
    records += call(7)[:1]
    (tmp_path / "w0-000001.jsonl").write_bytes(b"".join(chained(records)[0]))
    ship(tmp_path, database)
    wanted = database.rows(
        "select sum(calls), sum(known_total_tokens), sum(known_cost_usd) from cab.cells"
    )
    assert wanted == [(8, sum(15 + n for n in range(7)), Decimal("0.00012") * 7)]
    for view in ("keys", "models", "days"):
        assert (
            database.rows(
                f"select sum(calls), sum(known_total_tokens), sum(known_cost_usd) from cab.{view}"
            )
            == wanted
        )
    assert database.rows("select model, calls from cab.models order by 1") == [("m", 7), ("n", 1)]
    assert database.rows("select count(*) from cab.calls") == [(7,)]
    assert database.rows("select call_id from cab.unended_calls") == [("call-7",)]
    assert database.rows("select doc from cab.calls where call_id = 'call-2'")[0][0] == {
        **orjson.loads(chained(records)[0][5]),
    }

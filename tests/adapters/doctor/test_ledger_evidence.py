"""What the ledger has of a run and where the endpoint's account differs, from records written by hand."""

from pathlib import Path
from typing import Any

import pytest

from cab.adapters.doctor.ledger_evidence import differences, read_ledger_evidence
from tests.scoring.builders import CELL_ID, end, end_fields, line, start_fields


def row(**changes: Any) -> dict[str, Any]:
    fields = {"id": "a", "model": "m", "prompt_tokens": 3, "completion_tokens": 4}
    return {**fields, "status": 200, "outcome": "served", **changes}


def call(**changes: Any) -> Any:
    tokens = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    fields: dict[str, Any] = {"upstream_id": "a", "model_requested": "m", **tokens}
    fields |= changes
    return end(**fields)


REFUSED = {"id": None, "outcome": "refused", "status": 429}
FAILED = {"upstream_id": None, "end_reason": "upstream_error", "status": 429}
CUT = {"outcome": "cut"}
WAS_CUT = {"end_reason": "upstream_cut"}


@pytest.mark.parametrize(
    ("rows", "ends"),
    [
        ([row()], [call()]),
        ([row()], [call(end_reason="client_gone")]),
        ([row(), row(prompt_tokens=5)], [call(prompt_tokens=5), call()]),
        ([row(**REFUSED)], [call(**FAILED)]),
        ([row(**CUT)], [call(**WAS_CUT)]),
        ([], [call(end_reason="rejected", status=400)]),
    ],
)
def test_two_sides_that_agree(rows: list[dict[str, Any]], ends: list[Any]) -> None:
    """Served, refused and cut requests that both have are not differences; those that the proxy refused do not count."""
    assert list(differences({"by_call": rows}, ends)) == []


@pytest.mark.parametrize(
    ("rows", "ends", "difference"),
    [
        ([row()], [], "a was served and is not in the ledger as answered"),
        ([], [call()], "a is in the ledger as answered and was not served"),
        (
            [row()],
            [call(prompt_tokens=9)],
            "a was served as m with 3 + 4, the ledger has m with 9 + 4",
        ),
        ([row()], [call(), call()], "a was served once and is in the ledger 2 times"),
        ([row(**REFUSED)], [], "status 429: 1 by the endpoint, 0 in the ledger"),
        ([], [call(**WAS_CUT)], "cut off: 0 by the endpoint, 1 in the ledger"),
    ],
)
def test_each_difference_is_a_sentence(
    rows: list[dict[str, Any]], ends: list[Any], difference: str
) -> None:
    """A request that one side lacks, or has otherwise, is one sentence."""
    assert list(differences({"by_call": rows}, ends)) == [difference]


@pytest.mark.parametrize(("latency_ms", "ended_ms"), [(250.0, 250.0), (None, None)])
def test_an_end_that_is_not_known_is_no_zero(
    latency_ms: float | None, ended_ms: float | None, tmp_path: Path
) -> None:
    """A request without a duration has no end."""
    ended = end_fields("a", latency_ms=latency_ms, overhead_ms=None)
    (tmp_path / "w1-000001.jsonl").write_bytes(line(start_fields("a")) + line(ended))
    found = read_ledger_evidence(tmp_path, CELL_ID, {"by_call": []}, "real")
    assert [each.ended_ms for each in found.attempts] == [ended_ms]

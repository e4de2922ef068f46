from typing import Any

import pytest

from cab.scoring.ledger.filters import EVERYTHING, Filter, make_filter
from tests.scoring.builders import CELL_ID, end_fields, start_fields

CALL = end_fields(model_requested="asked", model_served="answered")


@pytest.mark.parametrize(
    ("where", "admitted"),
    [
        (make_filter(prefix="local/scripted/"), True),
        (make_filter(prefix="local/aider/"), False),
        (make_filter(CELL_ID), True),
        (make_filter(CELL_ID[:-1]), False),
        (make_filter(f"{CELL_ID}#run1"), False),
        (make_filter(CELL_ID, prefix="local/aider/"), False),
        (make_filter(model="asked"), True),
        (make_filter(model="answered"), True),
        (make_filter(model="ask"), False),
        (make_filter(since="2026-11-20T12:00:00Z"), True),
        (make_filter(since="2026-11-20T12:00:00.000001Z"), False),
        (make_filter(until="2026-11-20T12:00:00.000001Z"), True),
        (make_filter(until="2026-11-20T12:00:00Z"), False),
        (
            make_filter(
                prefix="local/",
                model="asked",
                since="2026-11-20T11:00:00Z",
                until="2026-11-20T13:00:00Z",
            ),
            True,
        ),
        (make_filter(prefix="local/", model="other"), False),
        (EVERYTHING, True),
    ],
)
def test_every_part_must_admit_a_record(where: Filter, admitted: bool) -> None:
    """Cells go by their whole id or by its beginning, models by either name, times from the first instant to before the last."""
    assert where.admits(CALL) is admitted


@pytest.mark.parametrize(
    "where",
    [
        make_filter(prefix=""),
        make_filter(model="m"),
        make_filter(since="2000-01-01T00:00:00Z"),
    ],
)
def test_a_record_without_the_member_is_not_wanted(where: Filter) -> None:
    """What has no cell, no model or no start is in none of them, and odd values are in none either."""
    assert not where.admits({"kind": "proxy_start"})
    assert not where.admits(start_fields(cell_id=7, model_requested=["m"], started_at=None))


@pytest.mark.parametrize("started_at", ["yesterday", 5, "2026-11-20T12:00:00+01:00"])
def test_a_start_that_is_no_instant_is_an_error(started_at: Any) -> None:
    """A record whose start cannot be compared is an error, not a record that is passed over."""
    with pytest.raises(ValueError, match=str(started_at)[:4]):
        make_filter(since="2026-11-20T12:00:00Z").admits(end_fields(started_at=started_at))


def test_an_instant_without_its_zone_is_refused() -> None:
    """A filter takes instants in UTC only."""
    with pytest.raises(ValueError, match="not in UTC"):
        make_filter(since="2026-11-20T12:00:00")

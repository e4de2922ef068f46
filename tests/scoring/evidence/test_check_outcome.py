from typing import Any

import pytest
from pydantic import ValidationError

from cab.scoring import CheckOutcome


@pytest.mark.parametrize(
    ("fields", "ran"),
    [
        ({"passed": True, "exit_code": 0}, True),
        ({"passed": False, "exit_code": 101}, True),
        ({"passed": False, "exit_code": None, "timed_out": True}, True),
        ({"passed": False, "exit_code": None, "reason": "cargo is missing"}, False),
    ],
)
def test_whether_the_check_ran(fields: dict[str, Any], ran: bool) -> None:
    """A check that ended or was stopped ran; one that never started did not."""
    assert CheckOutcome(**fields).ran is ran


@pytest.mark.parametrize("end", [{"exit_code": None}, {"exit_code": 0, "timed_out": True}])
def test_a_check_that_did_not_end_has_not_passed(end: dict[str, Any]) -> None:
    """A pass without an end contradicts itself."""
    with pytest.raises(ValidationError, match="cannot have passed"):
        CheckOutcome(passed=True, **end)

import pytest

from cab.scoring.axes.pass_rate import score_pass_rate
from tests.scoring.builders import check


@pytest.mark.parametrize(("passed", "exit_code", "expected"), [(True, 0, 1), (False, 101, 0)])
def test_the_check_s_verdict_is_the_pass(passed: bool, exit_code: int, expected: int) -> None:
    """The pass is 1 or 0, as the check says, with what it left behind."""
    axis = score_pass_rate(
        check(passed=passed, exit_code=exit_code, partial_score=0.6, stderr_tail="warning")
    )
    assert axis.model_dump(by_alias=True) == {
        "pass": expected,
        "exit_code": exit_code,
        "timed_out": False,
        "stdout_tail": "ok\n",
        "stderr_tail": "warning",
        "partial_score": 0.6,
        "reason": None,
    }


def test_a_check_at_its_limit_failed() -> None:
    """A check that had to be stopped is a failure, not an unknown."""
    assert score_pass_rate(check(passed=False, exit_code=None, timed_out=True)).passed == 0


def test_a_check_that_could_not_run_says_nothing() -> None:
    """Without a verdict the pass is unknown, with the reason beside it."""
    axis = score_pass_rate(check(passed=False, exit_code=None, reason="cargo is missing"))
    assert (axis.passed, axis.reason) == (None, "cargo is missing")

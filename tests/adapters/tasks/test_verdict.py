from cab.adapters.tasks.verdict import Deadline


def test_time_runs_out_and_not_below_zero() -> None:
    """What is left is at most the limit, and never negative."""
    assert 0 < Deadline(60).left_s() <= 60
    assert Deadline(0).left_s() == 0
    assert Deadline(60).limit_s == 60

import pytest

from cab.scoring.stats.interval import check_share, normal_quantile


def test_the_middle_of_the_normal_distribution_is_zero() -> None:
    """The median is 0, and 97.5 % lie below 1.96."""
    assert normal_quantile(0.5) == 0
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054, abs=1e-14)


@pytest.mark.parametrize("share", [0, 1, -0.1, 95, float("nan")])
def test_a_share_is_not_a_percentage(share: float) -> None:
    """What does not lie between 0 and 1 is an error that names the argument."""
    with pytest.raises(ValueError, match=r"confidence is .*between 0 and 1"):
        check_share("confidence", share)

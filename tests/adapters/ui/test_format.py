"""Figures as texts."""

import pytest

from cab.adapters.ui.format import figure_text, interval_text, seconds_text
from cab.scoring.analysis.estimates import Figure


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(0.5), "50.0%"),
        (Figure(None, coverage=0.25, reason="too few"), "25% known"),
        (Figure(None, coverage=1.0, reason="no pass"), "no pass"),
        (Figure(None), "none"),
    ],
)
def test_figure(figure: Figure, text: str) -> None:
    """A figure shows its value, or how much of it is known, or why there is none; never 0 for that."""
    assert figure_text(figure, 100, 1, "%") == text


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(1234.0, 1000.0, 2000.0), "1,234 (1,000 to 2,000)"),
        (Figure(1234.0, 1000.0), "1,234 (1,000 and up)"),
        (Figure(1234.0), "1,234"),
        (Figure(None, 1.0, 2.0, reason="no pass"), "no pass"),
    ],
)
def test_interval(figure: Figure, text: str) -> None:
    """An interval follows its value; its end may be open."""
    assert interval_text(figure, 1, 0) == text


def test_seconds() -> None:
    """A quantile beyond the cells that were stopped is only known to be above."""
    assert seconds_text(Figure(1500.0)) == "1.50"
    assert seconds_text(Figure(None, 60_000.0)) == "over 60.00"

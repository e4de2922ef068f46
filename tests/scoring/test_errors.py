import pytest

from cab.scoring import BadCellId, BadRecord, ScoringError, TooFewRuns, UnknownProfile


@pytest.mark.parametrize(
    ("line", "field", "text"),
    [
        (None, None, "a.json: wrong"),
        (3, None, "a.json:3: wrong"),
        (3, "seq", "a.json:3: seq: wrong"),
    ],
)
def test_bad_record_says_where(line: int | None, field: str | None, text: str) -> None:
    """A bad record is one line that names the file, and line and field where they are known."""
    error = BadRecord("a.json", line, "wrong", field)
    assert str(error) == text
    assert (error.path, error.line, error.field, error.reason) == ("a.json", line, field, "wrong")


def test_every_error_is_a_scoring_error() -> None:
    """Whoever catches ScoringError catches all that bad input can raise, and each names the fix."""
    few = TooFewRuns(1, 2, "an error")
    for error in (BadCellId("x", "short"), UnknownProfile("p/1", ("published/1",)), few):
        assert isinstance(error, ScoringError)
    assert "<sweep>/<tui>" in str(BadCellId("x", "short"))
    assert "published/1" in str(UnknownProfile("p/1", ("published/1",)))


def test_too_few_says_how_many_are_missing() -> None:
    """What is missing is named in words that fit the numbers, and is in the attributes."""
    assert str(TooFewRuns(1, 2, "k = 2")) == "k = 2 needs 2 runs or more; there is 1"
    error = TooFewRuns(0, 1, "a rate", unit="task")
    assert str(error) == "a rate needs 1 task or more; there are 0"
    assert (error.runs, error.needed) == (0, 1)

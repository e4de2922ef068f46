import pytest

from cab.scoring import BadCellId, BadRecord, ScoringError, UnknownProfile


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
    """Whoever catches ScoringError catches all that bad input can raise, and each says the mend."""
    for error in (BadCellId("x", "short"), UnknownProfile("p/1", ("published/1",))):
        assert isinstance(error, ScoringError)
    assert "<sweep>/<tui>" in str(BadCellId("x", "short"))
    assert "published/1" in str(UnknownProfile("p/1", ("published/1",)))

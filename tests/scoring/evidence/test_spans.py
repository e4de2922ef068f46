import pytest
from pydantic import ValidationError

from cab.scoring import Span


@pytest.mark.parametrize("field", ["start_ms", "duration_ms"])
def test_no_span_is_negative(field: str) -> None:
    """A span neither starts before its cell nor ends before it starts."""
    fields = {"span_id": "s", "kind": "cleanup", "name": "x", "start_ms": 0.0, "duration_ms": 0.0}
    with pytest.raises(ValidationError, match=field):
        Span.model_validate({**fields, field: -0.5})

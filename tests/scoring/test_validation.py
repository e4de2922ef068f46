from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from cab.scoring.validation import FieldFault, first_fault


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    counts: list[int]


class _Outer(BaseModel):
    inner: _Inner | None = None
    even: int = 0
    colour: Literal["red", "blue"] = "red"

    @model_validator(mode="after")
    def _is_even(self) -> "_Outer":
        if self.even % 2:
            raise ValueError("even must be even")
        return self


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"inner": {}}, FieldFault("inner.counts", "missing", "Field required")),
        (
            {"inner": {"counts": [1], "more": "canary"}},
            FieldFault("inner.more", "extra_forbidden", "Extra inputs are not permitted"),
        ),
        (
            {"inner": {"counts_": []}},
            FieldFault("inner.counts_", "extra_forbidden", "Extra inputs are not permitted"),
        ),
        (
            {"colour": "canary"},
            FieldFault(
                "colour", "literal_error", "Input should be 'red' or 'blue'", ("red", "blue")
            ),
        ),
        ({"even": 1}, FieldFault("", "value_error", "even must be even")),
    ],
)
def test_the_first_fault_is_read(data: dict[str, object], expected: FieldFault) -> None:
    """Where the first fault stands, its kind and its message are known; no value is repeated."""
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate(data)
    assert first_fault(caught.value) == expected


def test_an_index_is_part_of_the_place() -> None:
    """An entry of a list is named by its number, and what it holds is not shown."""
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate({"inner": {"counts": [1, "canary"]}})
    fault = first_fault(caught.value)
    assert fault.field == "inner.counts.1"
    assert "canary" not in fault.message

"""Reads lists of whole numbers that people type, such as ``3, -1, 42``.

Both functions are called with text straight from a form. They must answer bad text with a
ParseError that says which field was bad, and let no other exception out.
"""


class ParseError(Exception):
    """The first field of a list that is not a whole number.

    Attributes:
        index: The place of the field in the list, counted from 0.
        value: The field as it was typed, without the white space around it.
    """

    def __init__(self, index: int, value: str) -> None:
        super().__init__(f"field {index} is not a whole number: {value!r}")
        self.index = index
        self.value = value


def parse_numbers(text: str) -> list[int]:
    """Return the numbers of a comma-separated list.

    White space around a number does not count. A text that is empty, or nothing but white space,
    is the empty list.
    """
    if not text.strip():
        return []
    return [_number(index, field.strip()) for index, field in enumerate(text.split(","))]


def _number(index: int, field: str) -> int:
    try:
        return int(field)
    except ValueError as error:
        raise ParseError(index, field) from error


def largest(text: str) -> int | None:
    """Return the largest number of a comma-separated list, None for the empty list."""
    return max(parse_numbers(text), default=None)

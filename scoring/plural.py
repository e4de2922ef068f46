"""Counts in sentences."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and what it counts, in the singular for 1.

    Args:
        number: How many.
        one: The word for one of them.
        many: The word for several; None adds an s.

    >>> counted(1, "call"), counted(1200, "call"), counted(0, "retry", "retries")
    ('1 call', '1,200 calls', '0 retries')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"

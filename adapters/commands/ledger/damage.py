"""Damaged lines of a ledger, named one by one while a command goes on."""

from collections.abc import Callable

from cab.adapters.ui.progress import complain
from cab.scoring.errors import BadRecord


class DamageReport:
    """Names each damaged line on stderr, and keeps in mind that what is printed is not all.

    Args:
        said: Puts what people know in the place of a temporary folder.
    """

    exit_code = 0
    """1 once a line was damaged, or calls are archived."""

    def __init__(self, said: Callable[[str], str] = str) -> None:
        self._said = said

    def __call__(self, error: BadRecord) -> None:
        """Name a damaged line."""
        self.exit_code = 1
        complain(f"a damaged line is passed over: {self._said(str(error))}")

    def archived(self, error: BadRecord) -> None:
        """Say which calls are archived, and so not printed."""
        self.exit_code = 1
        complain(self._said(str(error)))

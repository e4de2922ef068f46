"""Compares the ledger of a cell with the model server's own account, number for number."""

from pathlib import Path
from typing import NamedTuple

import orjson

from cab.adapters.runs.bundle import ACCOUNT_FILE
from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.ledger.call_sums import sum_calls
from cab.scoring.ledger.reading import iter_records
from cab.scoring.printable import counted


class Served(NamedTuple):
    """Requests that were answered, and their tokens; None where a count is missing."""

    calls: int
    prompt_tokens: int | None
    completion_tokens: int | None


class AccountComparison(NamedTuple):
    """The same cell as two parties saw it."""

    account: Served
    """What the model server says it served."""
    ledger: Served
    """What the proxy recorded."""

    @property
    def equal(self) -> bool:
        """Whether all three numbers are the same."""
        return self.account == self.ledger

    def __str__(self) -> str:
        served, seen = self.account, self.ledger
        verdict = "equal" if self.equal else "NOT equal"
        return (
            f"the model server served {counted(served.calls, 'call')}, {served.prompt_tokens} prompt + "
            f"{served.completion_tokens} completion tokens; the ledger has {seen.calls}, "
            f"{seen.prompt_tokens}, {seen.completion_tokens}: {verdict}"
        )


def compare_account(bundle: Path) -> AccountComparison | None:
    """Return how a bundle's ledger compares; None if the model server gave no account.

    Args:
        bundle: A cell's folder.

    Raises:
        BadRecord: The slice of the ledger cannot be read.
    """
    file = bundle / ACCOUNT_FILE
    if not file.exists():
        return None
    account = orjson.loads(file.read_bytes())
    names = ("calls", "prompt_tokens", "completion_tokens")
    return AccountComparison(
        Served(*(account[name] for name in names)), _served(bundle / CALLS_FILE)
    )


def _served(calls: Path) -> Served:
    totals = sum_calls(iter_records(calls))
    if totals is None:  # a slice without a line: the endpoint's account says whether that is all
        return Served(0, 0, 0)
    return Served(totals.calls, totals.tokens.prompt.value, totals.tokens.completion.value)

"""What a cell would have cost by other prices, beside what it did cost; nothing that is stored changes."""

from collections.abc import Iterable
from dataclasses import dataclass

from cab.scoring.files import FileModel
from cab.scoring.ledger.records import Count
from cab.scoring.ledger.totals import CallPairing, CallTotals, Fields
from cab.scoring.prices.rule import PriceList, price_of


class Repriced(FileModel):
    """What the calls of a cell would have cost."""

    price_source: str
    """The list of prices and its version, as in `price_source` of a call's record."""
    cost_usd: str | None
    """US dollars as decimal text; None unless each call that may have cost something has a price there."""
    known_cost_usd: str
    """Sum of the prices that are known."""
    cost_usd_per_correct_task: str | None
    """Cost of a passed cell; None if it did not pass or a price is not known."""
    priced_calls: Count
    """Ledger entries with a price."""
    unpriced_calls: Count
    """Ledger entries that may have cost something and have none."""


@dataclass(frozen=True, slots=True)
class Repricing:
    """Other prices for calls.

    The prices that are stored with the calls, the endpoint's own among them, are not looked at.
    """

    prices: PriceList
    """Whose."""
    provider: str | None = None
    """Who sold the tokens; None: as the records say."""

    def cell(self, records: Iterable[Fields], passed: int | None) -> Repriced:
        """Return what a cell would have cost.

        Args:
            records: The members of its records.
            passed: The pass, None if it is not known.
        """
        totals = CallTotals()
        pairing = CallPairing(lambda call: totals.add(self._priced(call)))
        for record in records:
            if "call_id" in record:
                pairing.take(record)
        pairing.finish()
        cost = totals.cost
        whole = None if cost.value is None else f"{cost.value:f}"
        return Repriced(
            price_source=self.prices.source,
            cost_usd=whole,
            known_cost_usd=f"{cost.known:f}",
            cost_usd_per_correct_task=whole if passed else None,
            priced_calls=cost.priced,
            unpriced_calls=cost.missing,
        )

    def _priced(self, call: Fields) -> Fields:
        price = price_of(call, self.prices, self.provider) if call.get("kind") == "end" else None
        return {**call, "cost_usd": price}

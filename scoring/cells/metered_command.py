"""What a command has spent, as `cab meter --json` writes it."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from cab.scoring.files import FileModel
from cab.scoring.ledger.call_sums import CallSums, sum_calls
from cab.scoring.ledger.records import AnyRecord, CallEnd, Count
from cab.scoring.ledger.totals import CallPairing, CallTotals, Fields, TotalInterval, may_have_cost
from cab.scoring.prices.sources import PriceKind, weakest_kind


class MeteredTokens(FileModel):
    """Tokens of a set of calls; each is null while the count of one call is unknown."""

    prompt: Count | None
    """Tokens of the prompts, cached ones included."""
    completion: Count | None
    """Tokens of the answers, reasoning included."""
    total: Count | None
    """Both together."""
    cache_read: Count | None
    """Of the prompts, what came from a cache."""
    cache_write: Count | None
    """Of the prompts, what was put into a cache."""
    reasoning: Count | None
    """Of the answers, reasoning."""


class MeteredModel(FileModel):
    """What one model was asked for."""

    model: str | None
    """As the endpoint named it, else as it was asked for."""
    calls: Count
    """Calls, repetitions included."""
    tokens: MeteredTokens
    """Of its calls."""
    cost_usd: str | None
    """US dollars, exact; null while a price is unknown."""


class MeteredApi(FileModel):
    """Whose calls were metered, and where they went."""

    clients: list[str]
    """Providers whose clients were led here: `openai` ..."""
    upstream: str
    """Base URL of the endpoint, or `demo`."""
    holds_key: bool
    """Whether its key was kept from the command."""


class MeteredCommand(FileModel):
    """What a command has spent on model calls, and what of it is unknown. Unknown is null, never 0."""

    schema_: Literal["cab.meter/1"] = Field(default="cab.meter/1", alias="schema")
    """The form of this file."""
    cell_id: str
    """The cell that its calls belong to."""
    program: str
    """Name of the program, without its folder and arguments."""
    agent: str | None
    """Adapter of the agent that it is; null if none knows it."""
    exit_code: Count
    """As a shell has it: 128 and the number for a signal."""
    started_at: str
    """RFC 3339, UTC."""
    wall_ms: float = Field(ge=0)
    """From the command's start to its end, in ms."""
    model_ms: float | None = Field(ge=0)
    """Time in which a call was under way, in ms; overlaps count once. Null if one is unknown."""
    calls: Count
    """Calls for completions, repetitions included."""
    attempts: Count
    """HTTP requests that the proxy sent for them."""
    failed_calls: Count
    """Calls whose answer did not reach the command."""
    failures: dict[str, Count]
    """Class of failure, such as `network`: calls."""
    rejected: Count
    """Requests that the proxy turned down; not among `calls`."""
    tokens: MeteredTokens
    """Of all these calls."""
    interval: TotalInterval
    """Between what and what all tokens lie."""
    cost_usd: str | None
    """US dollars, exact; null while a price is unknown."""
    known_cost_usd: str
    """US dollars, the sum of the prices that are known."""
    price_kind: PriceKind | None
    """Whose prices: that of the weakest part."""
    price_sources: list[str]
    """Where the prices are from."""
    uncounted_calls: Count
    """Calls that may have cost something and whose tokens are not known."""
    partial_calls: Count
    """Calls whose count does not cover the whole answer, or contradicts itself."""
    unpriced_calls: Count
    """Calls with a count whose model has no known price."""
    unmetered_calls: Count
    """Requests to other paths that may have cost something, such as for images."""
    models: list[MeteredModel]
    """By model, most calls first."""
    endpoints: list[MeteredApi]
    """One for each provider whose clients were led to a proxy."""
    ledger: list[str]
    """Folders of the audit logs; empty if none was kept."""


class CommandSums:
    """The sums over the records of a command's cell: all of them, and by model."""

    def __init__(self, records: Iterable[AnyRecord]) -> None:
        """Add up records, in one pass.

        Raises:
            BadRecord: As for `sum_calls`.
        """
        self.by_model: dict[str | None, CallTotals] = {}
        self.unmetered = 0
        self._pairing = CallPairing(self._add)
        self.all = sum_calls(self._seen(records)) or CallSums()
        self._pairing.finish()

    def _seen(self, records: Iterable[AnyRecord]) -> Iterable[AnyRecord]:
        for record in records:
            self._pairing.take(vars(record))
            self.unmetered += (
                isinstance(record, CallEnd)
                and record.endpoint == "other"
                and record.may_cost is True
                and may_have_cost(vars(record))
            )
            yield record

    def _add(self, call: Fields) -> None:
        model = call.get("model_served") or call.get("model_requested")
        totals = self.by_model.setdefault(model, CallTotals())
        totals.add(call)

    @property
    def models(self) -> list[MeteredModel]:
        """The models that were called, most calls first."""
        models = [
            MeteredModel(
                model=name,
                calls=totals.calls,
                tokens=metered_tokens(totals),
                cost_usd=cost_usd(totals),
            )
            for name, totals in self.by_model.items()
            if totals.calls
        ]
        return sorted(models, key=lambda each: (-each.calls, each.model or ""))


def metered_tokens(totals: CallTotals) -> MeteredTokens:
    """Return the tokens of a total."""
    tokens = totals.tokens
    return MeteredTokens(
        prompt=tokens.prompt.value,
        completion=tokens.completion.value,
        total=tokens.total.value,
        cache_read=tokens.cache_read.value,
        cache_write=tokens.cache_write.value,
        reasoning=tokens.reasoning.value,
    )


def cost_usd(totals: CallTotals) -> str | None:
    """Return the cost of a total in US dollars; None while a price is unknown."""
    value = totals.cost.value
    return None if value is None else format(value, "f")


def price_kind_of(totals: CallTotals) -> PriceKind | None:
    """Return the kind of a total's weakest price."""
    return weakest_kind(totals.cost.price_sources, totals.cost.missing)

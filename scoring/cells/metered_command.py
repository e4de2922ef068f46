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

    prompt: Count | None = Field(description="Tokens of the prompts, cached ones included.")
    completion: Count | None = Field(description="Tokens of the answers, reasoning included.")
    total: Count | None = Field(description="Both together.")
    cache_read: Count | None = Field(description="Of the prompts, what came from a cache.")
    cache_write: Count | None = Field(description="Of the prompts, what was put into a cache.")
    reasoning: Count | None = Field(description="Of the answers, reasoning.")


class MeteredModel(FileModel):
    """What one model was asked for."""

    model: str | None = Field(description="As the endpoint named it, else as it was asked for.")
    calls: Count = Field(description="Calls, repetitions included.")
    tokens: MeteredTokens
    cost_usd: str | None = Field(description="US dollars, exact; null while a price is unknown.")


class MeteredApi(FileModel):
    """Whose calls were metered, and where they went."""

    clients: list[str] = Field(description="Providers whose clients were led here: `openai` ...")
    upstream: str = Field(description="Base URL of the endpoint, or `demo`.")
    holds_key: bool = Field(description="Whether its key was kept from the command.")


class MeteredCommand(FileModel):
    """What a command has spent on model calls, and what of it is unknown. Unknown is null, never 0."""

    schema_: Literal["cab.meter/1"] = Field("cab.meter/1", alias="schema")
    cell_id: str = Field(description="The cell that its calls belong to.")
    program: str = Field(description="Name of the program, without its folder and arguments.")
    agent: str | None = Field(description="Adapter of the agent that it is; null if none knows it.")
    exit_code: Count = Field(description="As a shell has it: 128 and the number for a signal.")
    started_at: str = Field(description="RFC 3339, UTC.")
    wall_ms: float = Field(ge=0, description="From the command's start to its end, in ms.")
    model_ms: float | None = Field(
        ge=0,
        description="Time in which a call was under way, in ms; overlaps count once. Null if one is unknown.",
    )
    calls: Count = Field(description="Calls for completions, repetitions included.")
    attempts: Count = Field(description="HTTP requests that the proxy sent for them.")
    failed_calls: Count = Field(description="Calls whose answer did not reach the command.")
    failures: dict[str, Count] = Field(description="Class of failure, such as `network`: calls.")
    rejected: Count = Field(description="Requests that the proxy turned down; not among `calls`.")
    tokens: MeteredTokens
    interval: TotalInterval = Field(description="Between what and what all tokens lie.")
    cost_usd: str | None = Field(description="US dollars, exact; null while a price is unknown.")
    known_cost_usd: str = Field(description="US dollars, the sum of the prices that are known.")
    price_kind: PriceKind | None = Field(description="Whose prices: that of the weakest part.")
    price_sources: list[str] = Field(description="Where the prices are from.")
    uncounted_calls: Count = Field(
        description="Calls that may have cost something and whose tokens are not known."
    )
    partial_calls: Count = Field(
        description="Calls whose count does not cover the whole answer, or contradicts itself."
    )
    unpriced_calls: Count = Field(description="Calls with a count whose model has no known price.")
    unmetered_calls: Count = Field(
        description="Requests to other paths that may have cost something, such as for images."
    )
    models: list[MeteredModel] = Field(description="By model, most calls first.")
    endpoints: list[MeteredApi]
    ledger: list[str] = Field(description="Folders of the audit logs; empty if none was kept.")


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

"""Axis `tokens`: what the model calls of a cell cost, and who counted.

Published cells hold a 0 where nothing was measured; here that is null. `known_*` sums what is known
even where the total is not.
"""

from typing import Annotated, Literal

from pydantic import Field

from cab.scoring.files import FileModel
from cab.scoring.ledger.call_sums import CallSums, SourceTotals
from cab.scoring.ledger.records import Count
from cab.scoring.ledger.totals import TotalInterval

MAX_UNKNOWN_SHARE = 0.05
"""Up to this share of a cell's calls may be unknown, and always one, for its tokens to be scored at the
upper end of their interval. An upper bound is several times what a call usually costs: with more of
them the figure would say more about the bounds than about the agent."""

NonNegative = Annotated[float, Field(ge=0)]
TokensSource = Literal["upstream", "tokenizer", "mixed", "none"]


class SourceTokens(FileModel):
    """The share of one source."""

    calls: Count
    """Attempts that this source counted."""
    prompt_tokens: Count | None
    """Tokens read, cached ones included."""
    completion_tokens: Count | None
    """Tokens written, reasoning included."""
    total_tokens: Count | None
    """Sum of both."""


class Tokens(FileModel):
    """The published keys, and the parts, sources and gaps of the sums."""

    prompt_tokens: Count | None
    """Tokens read by the model, cached ones included."""
    completion_tokens: Count | None
    """Tokens written by the model, reasoning included."""
    total_tokens: Count | None
    """Sum of both."""
    model_calls: Count | None
    """Model calls; attempts of one call count once. None if the cell was not metered."""
    tokens_per_correct_task: Count | NonNegative | None
    """Total tokens of a passed cell; None if it did not pass or was not measured."""
    pass_used_for_division: Count | None
    """The pass that the figure above was divided by."""
    attempts: Count | None = None
    """HTTP requests behind the model calls, repetitions included."""
    unmeasured_calls: Count | None = None
    """Attempts that may have cost something and have no count."""
    partial_calls: Count | None = None
    """Attempts whose count does not cover the whole answer, or contradicts itself."""
    known_prompt_tokens: Count | None = None
    """Sum over the attempts that were counted."""
    known_completion_tokens: Count | None = None
    """Sum over the attempts that were counted."""
    known_total_tokens: Count | None = None
    """What is known of the sum, also of attempts of which only a part was counted."""
    cache_read_tokens: Count | None = None
    """Part of the prompt that came from a cache; None unless every call reported it."""
    cache_write_tokens: Count | None = None
    """Part of the prompt that was written to a cache; None unless every call reported it."""
    reasoning_tokens: Count | None = None
    """Part of the completion that was reasoning; None unless every call reported it."""
    total_interval: TotalInterval | None = None
    """Between what and what the total lies."""
    scored_total_tokens: Count | None = None
    """The total that profiles score: the known one, else the upper end of the interval if few calls are
    unknown (`MAX_UNKNOWN_SHARE`), else None."""
    scored_upper_end: bool | None = None
    """Whether that is the upper end."""
    by_source: dict[str, SourceTokens] = Field(default_factory=dict[str, SourceTokens])
    """`upstream` or `tokenizer` -> its share."""


def score_tokens(calls: CallSums | None, passed: int | None) -> Tokens:
    """Return the axis.

    Args:
        calls: Sums over the cell's ledger slice; all null if it was not metered.
        passed: The pass, None if it is not known.
    """
    if calls is None:
        return Tokens(
            prompt_tokens=None,
            completion_tokens=None,
            total_tokens=None,
            model_calls=None,
            tokens_per_correct_task=None,
            pass_used_for_division=passed,
        )
    tokens = calls.tokens
    return Tokens(
        prompt_tokens=tokens.prompt.value,
        completion_tokens=tokens.completion.value,
        total_tokens=tokens.total.value,
        model_calls=calls.model_calls,
        tokens_per_correct_task=tokens.total.value if passed else None,
        pass_used_for_division=passed,
        attempts=calls.attempts,
        unmeasured_calls=calls.unmeasured_calls,
        partial_calls=calls.partial_calls,
        known_prompt_tokens=tokens.prompt.known,
        known_completion_tokens=tokens.completion.known,
        known_total_tokens=tokens.total.known,
        cache_read_tokens=tokens.cache_read.value,
        cache_write_tokens=tokens.cache_write.value,
        reasoning_tokens=tokens.reasoning.value,
        total_interval=calls.interval,
        scored_total_tokens=_scored_total(calls),
        scored_upper_end=tokens.total.value is None and _scored_total(calls) is not None,
        by_source={name: _share(calls.by_source[name]) for name in sorted(calls.by_source)},
    )


def _scored_total(calls: CallSums) -> int | None:
    unknown = calls.unmeasured_calls
    if unknown == 0:
        return calls.tokens.total.value
    few = unknown <= max(1, int(MAX_UNKNOWN_SHARE * calls.calls))
    # Where nothing was counted there is no measurement that a bound could complete.
    return calls.tokens.total.upper if few and unknown < calls.calls else None


def tokens_source(tokens: Tokens) -> TokensSource:
    """Return who counted the cell's totals; `none` if there is no total or nothing was counted."""
    if tokens.prompt_tokens is None or tokens.completion_tokens is None:
        return "none"
    match sorted(tokens.by_source):
        case []:
            return "none"
        case ["upstream"]:
            return "upstream"
        case ["tokenizer"]:
            return "tokenizer"
        case _:
            return "mixed"


def _share(source: SourceTotals) -> SourceTokens:
    return SourceTokens(
        calls=source.calls,
        prompt_tokens=source.tokens.prompt.value,
        completion_tokens=source.tokens.completion.value,
        total_tokens=source.tokens.total.value,
    )

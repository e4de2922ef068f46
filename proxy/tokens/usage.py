"""Usage of a call: the endpoint's own figures, else a bounded count of ours, off the event loop."""

import asyncio
import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cab.proxy.ledger.call_records import CallContext, Counted
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import Outcome, Usage
from cab.proxy.tokens.cancellable_thread import CheckCancelled, run_in_cancellable_thread
from cab.proxy.tokens.encodings import count, load_counter
from cab.proxy.tokens.model_families import encoding_of, family_of
from cab.proxy.tokens.prompt import MEDIA, answer_costs
from cab.proxy.tokens.prompt_readers import read_prompt
from cab.scoring.ledger.records import METERED_ENDPOINTS, Endpoint

_LEFT_OUT_FACTOR = 1.5
"""Tokenizers of different models differ by less than this; a second choice as long as the first by more."""

log = RedactingLogger()


@dataclass(frozen=True, slots=True)
class CountedCall:
    """What of a call is counted."""

    endpoint: Endpoint
    model: str
    """As served, else as requested; it decides the family."""
    encoding: str
    outcome: Outcome

    def count_completion(self, check_cancelled: CheckCancelled) -> int:
        """Return the tokens of the answer, as far as it came."""
        outcome = self.outcome
        costs = answer_costs(
            self.endpoint,
            outcome.completion_texts,
            outcome.tool_calls or 0,
            family_of(self.model),
            complete=outcome.complete and outcome.delivered,
        )
        return max(0, count(costs, self.encoding, check_cancelled))

    def count_prompt(self, check_cancelled: CheckCancelled) -> tuple[int | None, bool]:
        """Return the tokens of the prompt, and whether parts of it could not be counted.

        The tokens are `None` if the request cannot be understood, or goes on from what the endpoint
        keeps: a count of the rest would be no count of the prompt.
        """
        request = self.outcome.request_json
        if request is None:
            return None, True
        prompt = read_prompt(self.endpoint, request)
        if "state" in prompt.uncounted:
            return None, True
        tokens = count(prompt.costs(family_of(self.model)), self.encoding, check_cancelled)
        return max(0, tokens), bool(prompt.uncounted)


_CAPPED = ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "incomplete", "cancelled")
"""Finish reasons of answers that were ended before they were done."""


class Counter:
    """Decides what a call's usage is and who counted it.

    Args:
        encodings: Patterns of model names (`gpt-4-*`) to names of encodings, or to paths of
            `tokenizer.json` files; the first that fits counts, the bundled encoding of the model
            where none does.
        limit_bytes: Calls with more text than this are not counted; they are marked `overflow`.
        limit_s: The same for calls whose count takes longer, waiting for earlier counts included.

    Raises:
        BadConfig: An encoding is unknown, or its file cannot be used.
    """

    def __init__(self, encodings: Mapping[str, str], limit_bytes: int, limit_s: float) -> None:
        for name in {*encodings.values()}:
            load_counter(name)
        self._encodings = encodings
        self._limit_bytes = limit_bytes
        self._limit_s = limit_s
        # One at a time: counting is rare, and must not take the machine from the calls.
        self._turn = asyncio.Semaphore()

    def count_now(self, context: CallContext, outcome: Outcome) -> Counted | None:
        """Return the usage of an ended call if there is nothing to count here; else None."""
        if (
            outcome.usage is None
            or not outcome.usage_final
            or context.endpoint not in METERED_ENDPOINTS
        ):
            return None
        if outcome.finish_reasons is None or outcome.usage_status != "complete":
            return Counted(outcome.usage, "upstream", outcome.usage_status)
        return None

    async def count(self, context: CallContext, outcome: Outcome) -> Counted:
        """Return the usage of an ended call; an unknown one is `none`, never 0."""
        known = self.count_now(context, outcome)
        if known is not None or context.endpoint not in METERED_ENDPOINTS:
            return known or Counted()
        if outcome.usage is not None and outcome.usage_final:
            return await self._checked_here(context, outcome, outcome.usage)
        if outcome.usage is not None:
            return await self._complete_here(context, outcome, outcome.usage)
        if context.status is not None and context.status >= 400:
            return Counted()  # an error says nothing of what was generated before it
        # One rule for an answer that broke off, before its first text or after it: the prompt was
        # read, and what came was written.
        begun = outcome.begun and not outcome.deferred
        countable = outcome.delivered or (begun and outcome.error is None)
        if not countable or context.endpoint in MEDIA:
            return Counted()
        return await self._count_here(context, outcome)

    async def _checked_here(self, context: CallContext, outcome: Outcome, usage: Usage) -> Counted:
        """Return the endpoint's usage of an answer with several choices, marked if it leaves some out.

        llama.cpp's server states the usage of one choice where several were asked for
        (https://github.com/ggml-org/llama.cpp/pull/27318); other servers state that of all.
        """
        stated = Counted(usage, "upstream", outcome.usage_status)
        call = self._call(context, outcome)

        def work(check_cancelled: CheckCancelled) -> Counted:
            written = call.count_completion(check_cancelled)
            if written <= _LEFT_OUT_FACTOR * (usage.completion_tokens or 0):
                return stated
            note = f"the texts of all choices come to about {written} tokens"
            return Counted(usage, "upstream", "inconsistent", note)

        counted = await self._bounded(0, outcome, work)
        return counted if counted.usage else stated

    async def _count_here(self, context: CallContext, outcome: Outcome) -> Counted:
        call = self._call(context, outcome)

        def work(check_cancelled: CheckCancelled) -> Counted:
            prompt, unclear = call.count_prompt(check_cancelled)
            if prompt is None and outcome.request_json is None:
                return Counted()
            completion = call.count_completion(check_cancelled)
            whole = outcome.complete and outcome.error is None
            whole = whole and not (unclear or outcome.delivered_media)
            # It wrote up to its cap, and nothing of it was sent: that was thought.
            whole = whole and (completion > 0 or outcome.finish_reason not in _CAPPED)
            usage = Usage(prompt, completion, None if prompt is None else prompt + completion)
            return Counted(usage, "tokenizer", "complete" if whole else "partial")

        return await self._bounded(context.request_bytes, outcome, work)

    async def _complete_here(self, context: CallContext, outcome: Outcome, usage: Usage) -> Counted:
        """Return the usage of an answer that went on after the endpoint had last reported it.

        Anthropic's streams report the prompt at their start and 1 as the completion; of one that
        broke off, the text that came says more.
        """
        call = self._call(context, outcome)

        def work(check_cancelled: CheckCancelled) -> Counted:
            written = call.count_completion(check_cancelled)
            if written <= (usage.completion_tokens or 0):
                return Counted(usage, "upstream", "partial")
            prompt = usage.prompt_tokens or None  # a placeholder: every prompt has tokens
            total = None if prompt is None else prompt + written
            better = usage._replace(
                prompt_tokens=prompt, completion_tokens=written, total_tokens=total
            )
            return Counted(better, "tokenizer", "partial")

        counted = await self._bounded(0, outcome, work)
        return counted if counted.usage else Counted(usage, "upstream", "partial")

    async def _bounded(
        self, request_bytes: int, outcome: Outcome, work: Callable[[CheckCancelled], Counted]
    ) -> Counted:
        """Return what the work counts, within the limits."""
        written = sum(map(len, outcome.completion_texts))
        if outcome.texts_truncated or request_bytes + written > self._limit_bytes:
            return Counted(status="overflow")
        try:
            async with asyncio.timeout(self._limit_s), self._turn:
                return await run_in_cancellable_thread(work, "cab-count")
        except TimeoutError:
            return Counted(status="overflow")
        except Exception as error:  # noqa: BLE001 - metering never breaks a call
            # Its message may hold what the client sent.
            log.error("count_failed", error=type(error).__name__)
            return Counted()

    def _call(self, context: CallContext, outcome: Outcome) -> CountedCall:
        requested, served = context.request.model or "", outcome.model_served or ""
        return CountedCall(
            context.endpoint, served or requested, self.encoding_for(requested, served), outcome
        )

    def encoding_for(self, requested: str, served: str) -> str:
        """Return the name of the encoding that a call's tokens are counted with.

        Args:
            requested: The model's name as the client has it, empty if unknown.
            served: The model's name as the endpoint has it, empty if unknown.
        """
        for pattern, name in self._encodings.items():
            if any(fnmatch.fnmatchcase(model, pattern) for model in (requested, served)):
                return name
        return encoding_of(served or requested)

    def close(self) -> None:
        """Count no more; what is being counted now is left unknown."""
        self._limit_s = 0

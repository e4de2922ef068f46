"""Usage of a call: the endpoint's own figures, else a bounded count of ours, off the event loop."""

import asyncio
import fnmatch
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from cab.proxy.callrecord import CallFacts, Counted
from cab.proxy.meter import Outcome, Usage
from cab.proxy.prompts import count_prompt
from cab.proxy.tokens import DEFAULT_ENCODING, count_text, load_encoding
from cab.scoring.records import METERED_ENDPOINTS

_NOTHING_WRITTEN = Usage(None, 0, None)
"""An error answer: no token was written, and what was read is the endpoint's secret."""

log = structlog.get_logger("cab.proxy")


class Counter:
    """Decides what a call's usage is and who counted it.

    Args:
        encodings: Patterns of model names (`gpt-4-*`) to names of encodings; the first that fits
            counts, `o200k_base` where none does.
        limit_bytes: Calls with more text than this are not counted; they are marked `overflow`.
        limit_s: The same for calls whose counting takes longer.

    Raises:
        BadConfig: An encoding is unknown.
    """

    def __init__(self, encodings: Mapping[str, str], limit_bytes: int, limit_s: float) -> None:
        for name in {*encodings.values()}:
            load_encoding(name)
        self._encodings = encodings
        self._limit_bytes = limit_bytes
        self._limit_s = limit_s
        # One thread: counting is rare, and must not take the machine from the calls.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cab-count")

    async def count(self, facts: CallFacts, outcome: Outcome) -> Counted:
        """Return the usage of an ended call; an unknown one is `none`, never 0."""
        if facts.endpoint not in METERED_ENDPOINTS:
            return Counted()
        if outcome.usage is not None and outcome.usage_status == "complete":
            return Counted(outcome.usage, "upstream", "complete")
        if outcome.usage is not None:
            return await self._complete_here(facts, outcome, outcome.usage)
        if facts.status is not None and facts.status >= 400:
            return Counted(_NOTHING_WRITTEN)
        if not (outcome.delivered or (outcome.complete and outcome.error is None)):
            return Counted()
        return await self._count_here(facts, outcome)

    async def _count_here(self, facts: CallFacts, outcome: Outcome) -> Counted:
        written = sum(map(len, outcome.completion_texts))
        if outcome.texts_truncated or facts.request_bytes + written > self._limit_bytes:
            return Counted(status="overflow")
        request = outcome.request_json
        if request is None:
            return Counted()
        encoding = self.encoding_for(outcome.model_served or facts.request.model or "")
        job = partial(_count, facts, outcome, request, encoding)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limit_s):
                usage = await loop.run_in_executor(self._thread, job)
        except TimeoutError:
            return Counted(status="overflow")
        return Counted(usage, "tokenizer", "complete" if outcome.complete else "partial")

    async def _complete_here(self, facts: CallFacts, outcome: Outcome, usage: Usage) -> Counted:
        """Return the usage of an answer that went on after the endpoint had last reported it.

        Anthropic's streams report the prompt at their start and 1 as the completion; of one that
        broke off, the text that came says more.
        """
        counted = await self._count_here(facts, outcome)
        written = counted.usage.completion_tokens if counted.usage else None
        if written is None or written <= (usage.completion_tokens or 0):
            return Counted(usage, "upstream", "partial")
        total = None if usage.prompt_tokens is None else usage.prompt_tokens + written
        better = usage._replace(completion_tokens=written, total_tokens=total)
        return Counted(better, "tokenizer", "partial")

    def encoding_for(self, model: str) -> str:
        """Return the name of the encoding that a model's tokens are counted with."""
        for pattern, name in self._encodings.items():
            if fnmatch.fnmatchcase(model, pattern):
                return name
        return DEFAULT_ENCODING

    def close(self) -> None:
        """Let the thread go; what it still counts is of no use to anybody."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _count(facts: CallFacts, outcome: Outcome, request: dict[str, Any], encoding: str) -> Usage:
    prompt = count_prompt(facts.endpoint, request, encoding)
    completion = sum(count_text(text, encoding) for text in outcome.completion_texts)
    return Usage(prompt, completion, prompt + completion)

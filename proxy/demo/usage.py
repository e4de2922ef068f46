"""What a call costs: the tokens that tiktoken counts in what the demo really got and sent."""

from dataclasses import replace
from typing import NamedTuple

from cab.proxy.demo.responder import DemoReply
from cab.proxy.meter.json_values import JsonObject
from cab.proxy.tokens.encodings import count, count_text
from cab.proxy.tokens.model_families import OTHER
from cab.proxy.tokens.prompt import Prompt, answer_costs
from cab.proxy.tokens.prompt_readers import read_prompt
from cab.scoring.ledger.records import Endpoint

_ANSWERED = ("assistant", "model")
"""Roles of the model's own turns."""


class DemoUsage(NamedTuple):
    """What a call costs, in OpenAI's convention."""

    prompt_tokens: int
    """All that was read, cached or not."""
    completion_tokens: int
    """All that was written, thoughts included."""
    cached_tokens: int = 0
    """Part of the prompt."""
    reasoning_tokens: int = 0
    """Part of the completion."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


def count_usage(
    endpoint: Endpoint, data: JsonObject, reply: DemoReply, *, choices: int
) -> DemoUsage:
    """Return what a call costs.

    Args:
        endpoint: The dialect.
        data: The request's JSON object.
        reply: What is answered.
        choices: How often it is answered.
    """
    prompt = read_prompt(endpoint, data)
    return DemoUsage(
        prompt_tokens=count(prompt.costs(OTHER)),
        completion_tokens=count_reply(endpoint, reply) * choices,
        cached_tokens=_cached(prompt),
        reasoning_tokens=count_text(reply.thought or ""),
    )


def count_prompt(endpoint: Endpoint, data: JsonObject) -> int:
    """Return the tokens of a request's prompt."""
    return count(read_prompt(endpoint, data).costs(OTHER))


def count_reply(endpoint: Endpoint, reply: DemoReply) -> int:
    """Return the tokens of an answer."""
    texts = [reply.thought or "", reply.text or ""]
    texts += [text for call in reply.calls for text in (call.name, call.arguments)]
    return count(answer_costs(endpoint, texts, len(reply.calls), OTHER, complete=True))


def _cached(prompt: Prompt) -> int:
    """Return the tokens of what came before the last answer: the call before this one sent it."""
    end = len(prompt.turns)
    while end and prompt.turns[end - 1].role not in _ANSWERED:
        end -= 1
    # One answer may be there as several turns: its words and each of its calls.
    while end and prompt.turns[end - 1].role in _ANSWERED:
        end -= 1
    return count(replace(prompt, turns=prompt.turns[:end]).costs(OTHER)) if end else 0

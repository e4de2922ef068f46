"""What chat prompts and answers cost for a model of which nothing is known, as the demo counts them."""

from collections.abc import Mapping, Sequence
from typing import Any

from cab.proxy.tokens.encodings import DEFAULT_ENCODING, count
from cab.proxy.tokens.model_families import OTHER
from cab.proxy.tokens.prompt import answer_costs
from cab.proxy.tokens.prompt_readers import read_prompt
from cab.scoring.ledger.records import Endpoint

CHAT: Endpoint = "chat.completions"


def count_chat_prompt(
    messages: Sequence[Any], tools: Sequence[Any] | None = None, encoding: str = DEFAULT_ENCODING
) -> int:
    """Return the tokens of a prompt, its tool definitions included."""
    prompt = read_prompt(CHAT, {"messages": [*messages], "tools": [*(tools or ())]})
    return count(prompt.costs(OTHER), encoding)


def count_chat_completion(message: Mapping[str, Any]) -> int:
    """Return the tokens of a whole answer's message; some endpoints name its reasoning twice."""
    [turn] = read_prompt(CHAT, {"messages": [dict(message)]}).turns
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    texts = [*turn.texts, thought, *(text for call in turn.calls for text in call)]
    return count(answer_costs(CHAT, texts, len(turn.calls), OTHER, complete=True))

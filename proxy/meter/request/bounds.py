"""What a call can cost at most, as its request says it: for calls that nobody counts.

The prompt is bounded by the size of the request: every token of a text stands for at least one byte,
and JSON only makes a text longer. To that comes what a chat template adds, and nothing is known where
the request refers to what it does not hold. The answer is bounded by the request's own cap.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cab.proxy.meter.json_values import JsonObject, as_list, as_object, is_object
from cab.scoring.ledger.records import Endpoint

_TEMPLATE_TOKENS = 1024
"""What a chat template, or a vendor's own text about tools, adds: about twice the longest that is known,
530 tokens (Claude 3 Opus, https://docs.anthropic.com/en/docs/tool-use-pricing-and-tokens)."""

_CAPS: Mapping[Endpoint, tuple[str, ...]] = {
    "chat.completions": ("max_tokens", "max_completion_tokens"),
    "completions": ("max_tokens",),
    "fim.completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
    "gemini.generateContent": ("maxOutputTokens", "max_output_tokens"),
}
"""Dialect -> the members that cap an answer; where several are stated, the largest is safe."""
_WRITE_NOTHING: tuple[Endpoint, ...] = ("embeddings", "rerank")
_ANSWERS = frozenset(("n", "best_of", "candidateCount", "candidate_count"))


class CostBound(NamedTuple):
    """Tokens of one call at most; None where there is no bound."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """Of all answers together."""
    answers: int | None = None
    """How many answers are asked for, each with a cap of its own; None if that cannot be read."""

    def assuming(self, output_cap: int | None) -> "CostBound":
        """Return the bound where an answer without a stated cap has this one."""
        if self.completion_tokens is not None or output_cap is None or self.answers is None:
            return self
        return self._replace(completion_tokens=output_cap * self.answers)


NO_BOUND = CostBound()


def bound_of(
    endpoint: Endpoint, request: JsonObject, size_bytes: int, *, whole: bool = True
) -> CostBound:
    """Return the bound of a call.

    Args:
        endpoint: Its dialect.
        request: The request's JSON object.
        size_bytes: Size of its body.
        whole: Whether the object has all members; else nothing bounds the prompt.
    """
    known = whole and not _refers_elsewhere(request)
    prompt = size_bytes + _TEMPLATE_TOKENS if known else None
    if prompt is not None and endpoint == "rerank":
        # The model reads the query again with each document.
        query, documents = str(request.get("query")), as_list(request.get("documents"))
        prompt += len(documents) * (len(query.encode(errors="replace")) + _TEMPLATE_TOKENS)
    if request.get("fallbacks"):
        return NO_BOUND  # what was written before another model took over is charged too
    if endpoint in _WRITE_NOTHING:
        return CostBound(prompt, 0, 0)
    if endpoint not in _CAPS:
        return NO_BOUND  # sounds and images
    config = request
    if endpoint == "gemini.generateContent":
        config = as_object(request.get("generationConfig") or request.get("generation_config"))
    answers = _answers(config, as_list(request.get("prompt")))
    if endpoint == "completions" and not whole:
        answers = None  # each prompt of a list is answered
    caps = [cap for name in _CAPS[endpoint] if (cap := _number(config.get(name)))]
    return CostBound(prompt, answers * max(caps) if caps and answers else None, answers)


def _answers(config: JsonObject, prompts: list[object]) -> int | None:
    """Return how many answers a request asks for, None if that cannot be read."""
    if _ANSWERS.isdisjoint(config) and not prompts:  # nearly always
        return 1
    asked = [_number(config[name]) for name in _ANSWERS if config.get(name) is not None]
    each = [number for number in asked if number is not None]
    if len(each) < len(asked):
        return None
    # A list of numbers is one prompt, in tokens.
    several = sum(not isinstance(prompt, int) for prompt in prompts)
    return max(each, default=1) * max(1, several)


def _number(value: object) -> int | None:
    """Return a whole number above 0; 0 and -1 stand for "no cap" with some endpoints."""
    return value if type(value) is int and value > 0 else None


_KEPT = frozenset(
    (
        *("previous_response_id", "conversation", "context_management", "cachedContent"),
        *("cached_content", "mcp_servers", "container", "plugins", "web_search_options"),
        *("search_parameters", "fallbacks"),
    )
)
"""Members that let the endpoint read what it keeps, or what it fetches, or try once more elsewhere."""

_SEARCHING = ":online"
"""End of a model's name with which OpenRouter searches the web first."""

_CONTENTS = (
    *("messages", "input", "contents", "documents"),
    *("system", "systemInstruction", "system_instruction"),
)
"""Members that hold what the model reads."""
_INNER = ("content", "parts", "output")
"""Members of a message, or of a tool's result, that hold its parts."""
_CALLS = (
    *("function_call", "custom_tool_call", "tool_use", "redacted_thinking"),
    *("function_call_output", "custom_tool_call_output", "tool_result", "message"),
)
"""Kinds of items and parts that hold all that the model reads of them."""
_TEXT_MEMBERS = ("refusal", "thinking")
_CALL_MEMBERS = ("functionCall", "function_call", "functionResponse", "function_response")


def _refers_elsewhere(request: JsonObject) -> bool:
    """Return whether the model may read more than the request holds: an image, a file, a stored prompt ..."""
    # A stored prompt is an object; a text, or a list of texts, is the prompt itself.
    # An empty object is enough to switch a search on.
    kept = () if _KEPT.isdisjoint(request) else _KEPT
    if any(request.get(name) not in (None, False, []) for name in kept):
        return True
    searches = str(request.get("model")).endswith(_SEARCHING)
    if searches or is_object(request.get("prompt")):
        return True
    tools = as_list(request.get("tools")) or [request.get("tools")]
    if any(map(_is_endpoints_tool, tools)):
        return True
    found = [request[name] for name in _CONTENTS if name in request]
    for value in found:  # grows by what is inside; written out for speed: each call is looked at
        if not is_object(value):
            found += as_list(value)
        elif "role" in value or "parts" in value or value.get("type") in _CALLS:
            for name in _INNER:
                inner = value.get(name)
                if inner is not None and type(inner) is not str:  # a text holds all that it says
                    found.append(inner)
            # A chat message names the sound of an earlier answer by its id.
            if value.get("audio"):
                return True
        elif not _holds_its_text(value):
            return True
    return False


def _is_endpoints_tool(value: object) -> bool:
    """Return whether a tool is not one that the client defines, and runs."""
    tool = as_object(value)
    if "type" in tool:
        return tool["type"] not in ("function", "custom")
    return not ("name" in tool or tool.keys() <= {"functionDeclarations", "function_declarations"})


def _holds_its_text(part: JsonObject) -> bool:
    """Return whether all that the model reads of a content part is in it."""
    if isinstance(part.get("text"), str):
        return True
    if part.get("type") == "reasoning":
        # Without its encrypted content it stands for thoughts that the endpoint keeps.
        return bool(part.get("encrypted_content"))
    if as_object(part.get("source")).get("type") == "text":
        return True
    texts = any(isinstance(part.get(name), str) for name in _TEXT_MEMBERS)
    return texts or any(name in part for name in _CALL_MEMBERS)

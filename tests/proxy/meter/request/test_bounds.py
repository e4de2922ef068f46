from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter import dialect_for
from cab.proxy.meter.call import CallMeter
from cab.proxy.meter.request.bounds import CostBound, bound_of
from cab.proxy.tokens.encodings import count_text
from tests.tools.dialects import SAMPLES, Sample

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
CONFIG = "generationConfig"


@pytest.mark.parametrize(
    ("endpoint", "request_", "completion"),
    [
        ("chat.completions", {"max_tokens": 100}, 100),
        ("chat.completions", {"max_completion_tokens": 100}, 100),
        ("chat.completions", {"max_tokens": 50, "max_completion_tokens": 100}, 100),
        ("chat.completions", {"max_tokens": 100, "n": 3}, 300),
        ("chat.completions", {"max_tokens": 100, "n": None}, 100),
        ("chat.completions", {"max_tokens": 100, "n": "3"}, None),
        ("chat.completions", {"max_output_tokens": 100}, None),
        ("chat.completions", {"max_tokens": -1}, None),
        ("chat.completions", {"max_tokens": 0}, None),
        ("chat.completions", {"max_tokens": True}, None),
        ("chat.completions", {"max_tokens": "100"}, None),
        ("chat.completions", {}, None),
        ("completions", {"prompt": "a", "max_tokens": 16}, 16),
        ("completions", {"prompt": ["a", "b"], "max_tokens": 16, "n": 2, "best_of": 5}, 160),
        ("completions", {"prompt": [1, 2, 3], "max_tokens": 16}, 16),
        ("completions", {"prompt": [[1, 2], [3]], "max_tokens": 16}, 32),
        ("fim.completions", {"prompt": "a", "max_tokens": 16}, 16),
        ("responses", {"input": "a", "max_output_tokens": 16}, 16),
        ("responses", {"input": "a", "max_tokens": 16}, None),
        ("messages", {"max_tokens": 16}, 16),
        ("gemini.generateContent", {CONFIG: {"maxOutputTokens": 16, "candidateCount": 2}}, 32),
        ("gemini.generateContent", {"generation_config": {"max_output_tokens": 16}}, 16),
        ("gemini.generateContent", {"maxOutputTokens": 16}, None),
        ("embeddings", {"input": "a"}, 0),
        ("rerank", {"query": "a", "documents": ["b"]}, 0),
    ],
)
def test_the_answers_bound(endpoint: Any, request_: dict[str, Any], completion: int | None) -> None:
    """The request's own cap in its dialect, times the answers that it asks for."""
    assert bound_of(endpoint, request_, 10).completion_tokens == completion


def test_a_cap_can_be_assumed() -> None:
    """An assumed cap holds for each answer, only where none is stated and the answers can be told."""
    assert CostBound(9, None, 3).assuming(100) == CostBound(9, 300, 3)
    assert CostBound(9, 50, 1).assuming(100) == CostBound(9, 50, 1)
    assert CostBound(9, None, None).assuming(100).completion_tokens is None
    assert CostBound(9, None, 1).assuming(None).completion_tokens is None


def turns(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(parts)}]}


@pytest.mark.parametrize(
    ("endpoint", "request_"),
    [
        ("chat.completions", CHAT),
        ("chat.completions", turns({"type": "text", "text": "hi"})),
        ("chat.completions", {**CHAT, "tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("chat.completions", {"messages": [{"role": "assistant", "content": None}]}),
        ("messages", turns({"type": "tool_use", "id": "1", "name": "f", "input": {"image": "x"}})),
        ("messages", turns({"type": "tool_result", "content": [{"type": "text", "text": "x"}]})),
        ("messages", turns({"type": "tool_result", "content": "x"})),
        ("messages", turns({"type": "thinking", "thinking": "x", "signature": "y"})),
        ("messages", turns({"type": "document", "source": {"type": "text", "data": "x"}})),
        ("messages", {**CHAT, "tools": [{"name": "f", "input_schema": {}}], "system": "x"}),
        ("responses", {"input": "x", "tools": [{"type": "custom", "name": "f"}]}),
        ("responses", {"input": [{"type": "function_call_output", "output": "x"}]}),
        ("responses", {"input": [{"type": "reasoning", "encrypted_content": "x", "summary": []}]}),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": ""}]}]},
        ),
        ("gemini.generateContent", {"contents": [{"parts": [{"text": "x"}]}]}),
        ("gemini.generateContent", {"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]}),
        ("gemini.generateContent", {"tools": [{"functionDeclarations": []}]}),
        ("completions", {"prompt": ["a", "b"]}),
        ("embeddings", {"input": [[1, 2], [3]]}),
    ],
)
def test_a_prompt_that_is_all_there(endpoint: Any, request_: dict[str, Any]) -> None:
    """A request that holds all that the model reads is bounded by its size and the template."""
    assert bound_of(endpoint, request_, 300).prompt_tokens == 1324


@pytest.mark.parametrize(
    ("endpoint", "request_"),
    [
        ("chat.completions", turns({"type": "image_url", "image_url": {"url": "http://h/a"}})),
        ("chat.completions", turns({"type": "input_audio", "input_audio": {"data": "x"}})),
        ("chat.completions", {"messages": [{"role": "assistant", "audio": {"id": "a"}}]}),
        ("chat.completions", {**CHAT, "web_search_options": {"search_context_size": "low"}}),
        ("chat.completions", {**CHAT, "web_search_options": {}}),
        ("chat.completions", {**CHAT, "search_parameters": {"mode": "on"}}),
        ("chat.completions", {**CHAT, "model": "x:online"}),
        ("messages", {**CHAT, "fallbacks": [{"model": "b"}]}),
        ("messages", turns({"type": "image", "source": {"type": "base64", "data": "x"}})),
        ("messages", turns({"type": "tool_result", "content": [{"type": "image", "source": {}}]})),
        ("messages", {**CHAT, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("messages", {**CHAT, "context_management": {"edits": []}}),
        ("responses", {"input": "x", "previous_response_id": "r"}),
        ("responses", {"input": "x", "prompt": {"id": "p"}}),
        ("responses", {"input": [{"type": "item_reference", "id": "i"}]}),
        ("responses", {"input": [{"type": "reasoning", "id": "i", "summary": []}]}),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_file"}]}]}),
        ("gemini.generateContent", {"contents": [{"parts": [{"fileData": {"fileUri": "u"}}]}]}),
        ("gemini.generateContent", {"contents": [], "cachedContent": "c"}),
        ("gemini.generateContent", {"contents": [], "tools": [{"googleSearch": {}}]}),
    ],
)
def test_a_prompt_that_refers_elsewhere(endpoint: Any, request_: dict[str, Any]) -> None:
    """A request by which the model reads what is not in it has no bound of its prompt."""
    assert bound_of(endpoint, request_, 300).prompt_tokens is None


def test_a_query_is_read_with_each_document() -> None:
    """Of a reranking the query counts again for each document."""
    request: dict[str, Any] = {"query": "abcd", "documents": ["x"] * 10}
    assert bound_of("rerank", request, 100) == CostBound(100 + 1024 + 10 * (4 + 1024), 0, 0)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["role", "type", "content", "parts", "text", "source", "name", "audio"]
            ),
            inner,
            max_size=3,
        )
    ),
)
MEMBERS = (
    *("messages", "input", "contents", "system", "tools", "prompt", "documents", "query"),
    *("n", "best_of", "max_tokens", "max_output_tokens", CONFIG),
)


@given(
    st.sampled_from([sample.endpoint for sample in SAMPLES]),
    st.dictionaries(st.sampled_from(MEMBERS), ANYTHING),
)
def test_any_request_has_a_bound_or_none(endpoint: Any, request_: dict[str, Any]) -> None:
    """Whatever a client sends, it is no error, and a bound is a whole number."""
    for part in bound_of(endpoint, request_, 10):
        assert part is None or (type(part) is int and part >= 0)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.endpoint)
@pytest.mark.parametrize(
    "text", ["a" * 999, "\u00e9\u4e2d\U0001f600" * 99, '\x00\n"\\' * 99, "x y"]
)
def test_the_bound_is_above_any_count(sample: Sample, text: str) -> None:
    """No tokenizer makes more tokens of a text than its request has bytes."""
    body = orjson.dumps(sample.request)
    for said in (b'"look"', b'"some text"', b'"def fib(n):"'):
        body = body.replace(said, orjson.dumps(text))
    facts = CallMeter(dialect_for("POST", sample.path), sample.path, body).request
    assert facts.bound.prompt_tokens is not None
    assert facts.bound.prompt_tokens >= count_text(text)

"""Strategies for JSON values, and for such as look like parts of requests."""

from hypothesis import strategies as st

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)

member_names = st.sampled_from(
    ["role", "name", "content", "tool_calls", "tool_call_id", "function", "arguments", "text",
     "refusal", "reasoning", "reasoning_content", "type", "id", "call_id", "input", "output",
     "parts", "functionCall", "functionResponse", "functionDeclarations", "args", "response",
     "thinking", "signature", "source", "data", "parameters", "properties", "items", "enum",
     "anyOf", "$ref", "required", "schema", "format", "json_schema"]
)  # fmt: skip
texts = st.sampled_from(
    ["user", "assistant", "tool", "function_call", "function_call_output", "message", "reasoning",
     "tool_use", "tool_result", "thinking", "image", "text", "custom", "enabled", "words"]
)  # fmt: skip

request_like = st.recursive(
    json_values | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(member_names, inner, max_size=5),
    max_leaves=12,
)
"""JSON values whose members have names that mean something."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.tokens.encodings import count, count_text
from cab.proxy.tokens.model_families import FAMILIES, OTHER
from cab.proxy.tokens.prompt import Prompt, Turn
from cab.proxy.tokens.prompt_readers import read_prompt
from cab.scoring.ledger.records import METERED_ENDPOINTS
from tests.proxy.forwarding.jsonlike import request_like
from tests.tools.chat_counts import count_chat_completion, count_chat_prompt

IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


def chat(*messages: Any, **more: Any) -> Prompt:
    return read_prompt("chat.completions", {"messages": [*messages], **more})


def called(name: str, arguments: str, call_id: str = "c1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        ({"role": "user", "content": "hi"}, Turn("user", ["hi"])),
        ({"role": "user", "name": "ann", "content": "hi"}, Turn("user", ["hi", "ann"])),
        ({"role": "user", "content": None}, Turn("user")),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            Turn("user", ["a", "b"]),
        ),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, Turn("assistant", ["no"])),
        ({"role": "assistant", "content": "x", "refusal": "no"}, Turn("assistant", ["x", "no"])),
        ({"role": "assistant", "content": "x", "reasoning_content": "why"}, Turn("assistant", ["x"])),
        ({"role": "assistant", "content": " <think>why\n</think>x"}, Turn("assistant", ["x"])),
        ({"role": "user", "content": "<think>x</think>"}, Turn("user", ["<think>x</think>"])),
        ({"role": "assistant", "tool_calls": [called("run", "{}")]}, Turn("assistant", calls=[["run", "{}"]])),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
            Turn("assistant", calls=[["f", "x"]]),
        ),
        ({"role": "assistant", "tool_calls": ["odd"]}, Turn("assistant", calls=[["odd"]])),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, Turn("assistant", calls=[["f", ""]])),
        (
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            Turn("assistant", calls=[["f", "{}"]]),
        ),
        ({"role": "tool", "tool_call_id": "c9", "content": "ok"}, Turn("tool", ["ok"], result_of="")),
        ({"role": "function", "name": "f", "content": "ok"}, Turn("function", ["ok"], result_of="f")),
        ({"role": "user", "content": 7}, Turn("user", ["7"])),
        ({"role": "user", "content": ["loose", 5]}, Turn("user", ["loose", "5"])),
        ("no message", Turn(texts=["no message"])),
    ],
)  # fmt: skip
def test_chat_messages(message: Any, turn: Turn) -> None:
    """A chat message is a turn with its texts and calls; what the model thought before is left out."""
    assert chat(message) == Prompt("chat.completions", [turn])


def test_chat_results_have_the_name_of_their_tool() -> None:
    """A tool's result is matched with its call by the id, which itself is not read."""
    turns = chat(
        {
            "role": "assistant",
            "tool_calls": [called("run", "{}", "c1"), called("look", "{}", "c2")],
        },
        {"role": "tool", "tool_call_id": "c2", "content": "seen"},
    ).turns
    assert turns[1] == Turn("tool", ["seen"], result_of="look")


def test_chat_tools_and_schemas() -> None:
    """A chat prompt holds the client's tools and the schema; the endpoint's own tools are named."""
    tool = {"type": "function", "function": {"name": "run"}}
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    prompt = chat(
        {"role": "user", "content": [{"type": "text", "text": "what?"}, IMAGE, IMAGE]},
        tools=[tool, {"type": "web_search"}],
        functions=[{"name": "old"}],
        response_format=form,
        plugins=[{"id": "web"}],
    )
    assert prompt.tools == [{"name": "old"}, tool]
    assert prompt.schema == {"type": "object"}
    assert sorted(prompt.uncounted) == ["media", "media", "tools", "tools"]


def test_responses() -> None:
    """Instructions and items of a response's input are turns; what is hidden is named."""
    prompt = read_prompt(
        "responses",
        {
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ho"}]},
                {"type": "function_call", "call_id": "c1", "name": "run", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "done"},
                {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "***"},
                {"type": "custom_tool_call_output", "call_id": "c3", "output": [{"type": "input_text", "text": "ok"}]},
                {"type": "reasoning", "encrypted_content": "xyz", "summary": []},
                {"type": "item_reference", "id": "i"},
                {"type": "web_search_call", "id": "i"},
                "loose",
            ],
            "text": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "tools": [{"type": "function", "name": "run"}, {"type": "custom", "name": "patch"}, {"type": "mcp"}],
            "previous_response_id": "resp_1",
        },
    )  # fmt: skip
    assert prompt.turns == [
        Turn("system", ["Be brief."]),
        Turn("user", ["hi"]),
        Turn("assistant", ["ho"]),
        Turn("assistant", calls=[["run", "{}"]]),
        Turn("tool", ["done"], result_of="run"),
        Turn("assistant", calls=[["patch", "***"]]),
        Turn("tool", ["ok"], result_of=""),
        Turn("user", ["loose"]),
    ]
    assert [tool["name"] for tool in prompt.tools if isinstance(tool, dict)] == ["run", "patch"]
    assert prompt.schema == {"type": "object"}
    assert sorted(prompt.uncounted) == ["media", "reasoning", "state", "state", "tools", "tools"]


def test_responses_of_one_text() -> None:
    """An input that is a text is one message."""
    assert read_prompt("responses", {"input": "hi"}) == Prompt("responses", [Turn("user", ["hi"])])


def test_messages() -> None:
    """Anthropic's blocks are turns, a tool's result each its own; what is hidden is named."""
    prompt = read_prompt(
        "messages",
        {
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "why", "signature": "s"},
                    {"type": "redacted_thinking", "data": "xyz"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "it"}},
                    {"type": "server_tool_use", "name": "web_search", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "seen"}]},
                    {"type": "tool_result", "tool_use_id": "t2", "content": "lost"},
                    {"type": "document", "source": {"type": "text", "data": "a letter"}},
                    {"type": "image", "source": {"type": "base64", "data": "xyz"}},
                ]},
                {"role": "user", "content": []},
                "loose",
            ],
            "tools": [
                {"name": "look", "description": "Looks.", "input_schema": {}, "cache_control": {}},
                {"type": "bash_20250124", "name": "bash"},
            ],
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "mcp_servers": [{"name": "m"}],
            "context_management": {"edits": []},
        },
    )  # fmt: skip
    assert prompt.turns == [
        Turn("system", ["Be brief."]),
        Turn("user", ["hi"]),
        Turn("assistant", ["why", "I look."], [["look", '{"at":"it"}']]),
        Turn("tool", ["seen"], result_of="look"),
        Turn("tool", ["lost"], result_of=""),
        Turn("user", ["a letter"]),
        Turn("", ["loose"]),
    ]
    assert prompt.tools == [{"name": "look", "description": "Looks.", "input_schema": {}}]
    assert (prompt.schema, prompt.thinks) == ({"type": "object"}, True)
    assert sorted(prompt.uncounted) == ["media", "reasoning", "reasoning", "state", "tools", "tools", "tools"]  # fmt: skip


def test_the_first_form_of_anthropics_schemas() -> None:
    """The schema is also found where it stood at first."""
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert read_prompt("messages", {"output_format": form}).schema == {"type": "object"}


@pytest.mark.parametrize("snake", [False, True])
def test_gemini(snake: bool) -> None:
    """Gemini's contents are turns, in either spelling; what is hidden is named."""
    names = ["systemInstruction", "functionCall", "functionResponse", "functionDeclarations", "thoughtSignature", "cachedContent"]  # fmt: skip
    if snake:
        names = ["system_instruction", "function_call", "function_response", "function_declarations", "thought_signature", "cached_content"]  # fmt: skip
    system, call, result, tools, signature, cached = names
    prompt = read_prompt(
        "gemini.generateContent",
        {
            system: {"parts": [{"text": "Be brief."}]},
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"data": "xyz"}}]},
                {"role": "model", "parts": [{call: {"name": "look", "args": {"at": "it"}}, signature: "s"}]},
                {"parts": [{result: {"name": "look", "response": {"r": "seen"}}}]},
                "loose",
            ],
            "tools": [{tools: [{"name": "look"}]}, {"googleSearch": {}, "urlContext": None}],
            cached: "c",
        },
    )  # fmt: skip
    assert prompt.turns == [
        Turn("", ["Be brief."]),
        Turn("user", ["hi"]),
        Turn("model", calls=[["look", '{"at":"it"}']]),
        Turn("", ["look", '{"r":"seen"}']),
        Turn("", ["loose"]),
    ]
    assert prompt.tools == [{"name": "look"}]
    assert sorted(prompt.uncounted) == ["media", "reasoning", "state", "tools"]


@pytest.mark.parametrize("endpoint", ["completions", "embeddings"])
@pytest.mark.parametrize(
    ("given_", "texts", "tokens"),
    [
        ("one text", ["one text"], 0),
        (["a", "b"], ["a", "b"], 0),
        ([1, 2, 3], [], 3),
        ([[1, 2], [3]], [], 3),
        ([{"text": "t"}], ["t"], 0),
        (None, [], 0),
    ],
)
def test_bare_inputs(endpoint: Any, given_: Any, texts: list[str], tokens: int) -> None:
    """Texts and tokens are counted without anything around them, however they are nested."""
    prompt = read_prompt(endpoint, {"prompt": given_, "input": given_})
    assert prompt == Prompt(endpoint, [Turn(texts=texts)], tokens=tokens)
    assert count(prompt.costs(OTHER)) == sum(map(count_text, texts)) + tokens


def test_images_in_an_embedding_are_named() -> None:
    """An input without text is named, as everywhere."""
    assert read_prompt("embeddings", {"input": [{"image": "xyz"}]}).uncounted == ["media"]


def test_chat_counts_of_the_demo() -> None:
    """The counts that the demo reports are those of a model of which nothing is known."""
    messages = [{"role": "user", "content": "hello world"}]
    plain = count_chat_prompt(messages)
    assert plain == count_text("hello world") + OTHER.message + OTHER.answer
    tool = {"type": "function", "function": {"name": "run"}}
    spelt = '{"type":"function","function":{"name":"run"}}'
    assert count_chat_prompt(messages, [tool]) == plain + OTHER.tools + count_text(spelt)
    assert count_chat_prompt(messages, encoding="cl100k_base") == plain


def test_an_answer_costs_its_texts_and_calls() -> None:
    """An answer's texts are all that it says and thinks, with the frames of its calls."""
    message = {"role": "assistant", "content": "I look.", "reasoning": "why", "tool_calls": [called("run", "{}")]}  # fmt: skip
    texts = sum(map(count_text, ("I look.", "why", "run", "{}")))
    assert count_chat_completion(message) == texts + OTHER.answer_call
    assert count_chat_completion({"reasoning": "why", "reasoning_content": "why"}) == 1
    assert count_chat_completion({"content": None}) == 0


@given(
    st.sampled_from(sorted(METERED_ENDPOINTS)),
    st.dictionaries(
        st.sampled_from(["messages", "input", "contents", "prompt", "tools", "system", "functions",
                         "instructions", "systemInstruction", "response_format", "text", "output_config"]),
        request_like, max_size=5,
    ),
    st.sampled_from(sorted(FAMILIES)),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_no_request_breaks_the_count(endpoint: Any, request: Any, family: str) -> None:
    """Whatever JSON a client sends, there is a count, in every dialect and family."""
    assert count(read_prompt(endpoint, request).costs(FAMILIES[family])) >= -1

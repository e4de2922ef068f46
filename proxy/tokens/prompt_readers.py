"""What a request gives the model to read, per dialect.

What counts is every text that a person, a model or a tool wrote, and the names and arguments of tool
calls. `Prompt.uncounted` names what cannot be counted from here. A value of the wrong type costs its
compact JSON: counting never fails on what a client sent.
"""

import re
from collections.abc import Callable, Iterator

from cab.proxy.meter.json_values import JsonObject, as_list, as_object, as_text, is_object
from cab.proxy.tokens.prompt import MEDIA, Prompt, Turn, compact
from cab.scoring.ledger.records import Endpoint

# Chat templates leave out what a model thought in earlier turns: they drop the member that holds it,
# and this from the beginning of the text.
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)

Names = dict[str, str]
"""Names of the tools by the id of their call."""


def read_prompt(endpoint: Endpoint, request: JsonObject) -> Prompt:
    """Return the prompt of a request.

    Args:
        endpoint: The dialect.
        request: The request's JSON object.
    """
    prompt = Prompt(endpoint)
    _READERS[endpoint](prompt, request)
    return prompt


def _chat(prompt: Prompt, request: JsonObject) -> None:
    prompt.tools = as_list(request.get("functions"))
    _add_tools(prompt, request.get("tools"))
    form = as_object(as_object(request.get("response_format")).get("json_schema"))
    prompt.schema = as_object(form.get("schema"))
    if request.get("plugins") or request.get("web_search_options"):
        prompt.uncounted.append("tools")
    names: Names = {}
    for message in as_list(request.get("messages")):
        prompt.turns.append(_chat_turn(prompt, message, names))


def _add_tools(prompt: Prompt, tools: object) -> None:
    """Add the tools that the client defines; those of other types are the endpoint's own."""
    for tool in as_list(tools):
        if as_object(tool).get("type", "function") in ("function", "custom"):
            prompt.tools.append(tool)
        else:
            prompt.uncounted.append("tools")


def _chat_turn(prompt: Prompt, value: object, names: Names) -> Turn:
    """Return a chat message as a turn.

    Args:
        prompt: Where it is noted what cannot be counted.
        value: The message as the client or the endpoint sent it.
        names: Those of the tool calls in this message are added.
    """
    if not is_object(value):
        return Turn(texts=[_text(value)])
    message = value
    turn = _turn(prompt, _text(message.get("role")), message.get("content"))
    if turn.role == "assistant":
        turn.texts = [_THOUGHT.sub("", text) for text in turn.texts]
    name = _text(message.get("name"))
    if turn.role in ("tool", "function"):
        turn.result_of, name = names.get(_text(message.get("tool_call_id"))) or name, ""
    turn.texts += [_text(text) for text in (message.get("refusal"), name) if text]
    for item in as_list(message.get("tool_calls")):
        call = as_object(item)
        function = as_object(call.get("function") or call.get("custom"))
        turn.calls.append(_call(function, "arguments", "input") if function else [_text(item)])
        names[_text(call.get("id"))] = _text(function.get("name"))
    if is_object(message.get("function_call")):
        turn.calls.append(_call(as_object(message["function_call"]), "arguments"))
    return turn


def _responses(prompt: Prompt, request: JsonObject) -> None:
    form = as_object(as_object(request.get("text")).get("format"))
    prompt.schema = as_object(form.get("schema"))
    kept = ("previous_response_id", "conversation", "prompt", "context_management")
    if any(request.get(name) for name in kept):
        prompt.uncounted.append("state")
    _add_tools(prompt, request.get("tools"))
    if request.get("instructions"):
        prompt.turns.append(_turn(prompt, "system", request["instructions"]))
    names: Names = {}
    for item in _parts(request.get("input")):
        _item(prompt, item, names)


def _item(prompt: Prompt, value: object, names: Names) -> None:
    item = as_object(value)
    kind, call_id = as_text(item.get("type")) or "message", _text(item.get("call_id"))
    if not item:
        prompt.turns.append(Turn("user", [_text(value)]))
    elif kind == "message":
        prompt.turns.append(_turn(prompt, _text(item.get("role")), item.get("content")))
    elif kind in ("function_call", "custom_tool_call"):
        names[call_id] = _text(item.get("name"))
        prompt.turns.append(Turn("assistant", calls=[_call(item, "arguments", "input")]))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        turn = _turn(prompt, "tool", item.get("output"))
        turn.result_of = names.get(call_id, "")
        prompt.turns.append(turn)
    elif kind == "reasoning":
        prompt.uncounted.append("reasoning")
    else:
        prompt.uncounted.append("state" if kind in _STATE_ITEMS else "tools")


def _messages(prompt: Prompt, request: JsonObject) -> None:
    if request.get("mcp_servers") or request.get("container"):
        prompt.uncounted.append("tools")
    if request.get("context_management"):
        prompt.uncounted.append("state")
    # The second is the form that it had at first.
    form = as_object(request.get("output_config")).get("format") or request.get("output_format")
    prompt.schema = as_object(as_object(form).get("schema"))
    prompt.thinks = as_object(request.get("thinking")).get("type") == "enabled"
    for tool in map(as_object, as_list(request.get("tools"))):
        if tool.get("type") in (None, "custom"):
            kept = ("name", "description", "input_schema")
            prompt.tools.append({name: tool.get(name) for name in kept})
        else:
            prompt.uncounted.append("tools")
    if request.get("system"):
        prompt.turns.append(_turn(prompt, "system", request["system"]))
    names: Names = {}
    for value in as_list(request.get("messages")):
        message = as_object(value)
        turn = Turn(_text(message.get("role")))
        for block in _parts(message.get("content") if message else value):
            _block(prompt, turn, block, names)
        if turn.texts or turn.calls:
            prompt.turns.append(turn)


def _block(prompt: Prompt, turn: Turn, value: object, names: Names) -> None:
    """Add a content block of an Anthropic message; a tool's result is a turn of its own."""
    block = as_object(value)
    kind = block.get("type")
    if kind == "tool_use":
        names[_text(block.get("id"))] = _text(block.get("name"))
        turn.calls.append(_call(block, "input"))
    elif kind == "tool_result":
        result = _turn(prompt, "tool", block.get("content"))
        result.result_of = names.get(_text(block.get("tool_use_id")), "")
        prompt.turns.append(result)
    else:
        _add_part(prompt, turn, value)


def _gemini(prompt: Prompt, request: JsonObject) -> None:
    if _either(request, "cachedContent", "cached_content"):
        prompt.uncounted.append("state")
    for tool in map(as_object, _parts(request.get("tools"))):
        for name, value in tool.items():
            if name in ("functionDeclarations", "function_declarations"):
                prompt.tools += as_list(value)
            elif value is not None:
                prompt.uncounted.append("tools")
    system = _either(request, "systemInstruction", "system_instruction")
    for content in [*_parts(system), *_parts(request.get("contents"))]:
        fields = as_object(content)
        turn = Turn(_text(fields.get("role")))
        for part in _parts(fields.get("parts", content)):
            _gemini_part(prompt, turn, part)
        prompt.turns.append(turn)


def _gemini_part(prompt: Prompt, turn: Turn, value: object) -> None:
    part = as_object(value)
    if _either(part, "thoughtSignature", "thought_signature"):
        prompt.uncounted.append("reasoning")
    call = as_object(_either(part, "functionCall", "function_call"))
    result = as_object(_either(part, "functionResponse", "function_response"))
    if call:
        turn.calls.append(_call(call, "args"))
    elif result:
        turn.texts += [_text(result.get("name")), _text(result.get("response"))]
    else:
        _add_part(prompt, turn, value)


def _texts_or_tokens(member: str) -> Callable[[Prompt, JsonObject], None]:
    """Return what reads a prompt or an input: a text, tokens, or a list of either."""

    def read(prompt: Prompt, request: JsonObject) -> None:
        turn = Turn()
        for part in _flat(request.get(member)):
            if isinstance(part, int):
                prompt.tokens += 1
            else:
                _add_part(prompt, turn, part)
        prompt.turns.append(turn)

    return read


def _flat(value: object) -> Iterator[object]:
    for part in _parts(value):
        yield from _parts(part)


def _fim(prompt: Prompt, request: JsonObject) -> None:
    prompt.turns.append(Turn(texts=[_text(request.get(name)) for name in ("prompt", "suffix")]))


def _rerank(prompt: Prompt, request: JsonObject) -> None:
    """The model reads the query with each document."""
    query = _text(request.get("query"))
    for document in _parts(request.get("documents")):
        turn = Turn(texts=[query])
        _add_part(prompt, turn, document)
        prompt.turns.append(turn)


def _media(prompt: Prompt, request: JsonObject) -> None:
    """Most of it is a sound or an image, if not read then written."""
    prompt.uncounted.append("media")
    texts = [_text(request.get(name)) for name in ("prompt", "input", "instructions")]
    prompt.turns.append(Turn(texts=texts))


_READERS: dict[Endpoint, Callable[[Prompt, JsonObject], None]] = {
    "chat.completions": _chat,
    "completions": _texts_or_tokens("prompt"),
    "fim.completions": _fim,
    "embeddings": _texts_or_tokens("input"),
    "rerank": _rerank,
    "responses": _responses,
    "messages": _messages,
    "gemini.generateContent": _gemini,
    **dict.fromkeys(MEDIA, _media),
}


def _turn(prompt: Prompt, role: str, content: object) -> Turn:
    turn = Turn(role)
    for part in _parts(content):
        _add_part(prompt, turn, part)
    return turn


def _parts(content: object) -> list[object]:
    if content is None:
        return []
    parts = as_list(content)
    return parts if isinstance(content, list) else [content]


def _add_part(prompt: Prompt, turn: Turn, value: object) -> None:
    part = as_object(value)
    text = next((part[name] for name in _TEXT_MEMBERS if isinstance(part.get(name), str)), None)
    source = as_object(part.get("source"))
    kind = str(part.get("type"))
    if "signature" in part:
        # A summary; the real thoughts are hidden.
        prompt.uncounted.append("reasoning")
    if not part:
        turn.texts.append(_text(value))
    elif text is not None:
        turn.texts.append(_text(text))
    elif source.get("type") == "text":
        turn.texts.append(_text(source.get("data")))
    elif kind in ("thinking", "redacted_thinking"):
        prompt.uncounted.append("reasoning")
    else:
        prompt.uncounted.append("tools" if "tool" in kind else "media")


_STATE_ITEMS = ("item_reference", "compaction")
"""Items that refer to what the endpoint keeps."""

_TEXT_MEMBERS = ("text", "refusal", "thinking")
"""Members that hold a content part's text."""


def _call(call: JsonObject, *names: str) -> list[str]:
    """Return a tool call's name and the first of these members that it has."""
    arguments = next((call[name] for name in names if call.get(name) is not None), None)
    return [_text(call.get("name")), _text(arguments)]


def _either(fields: JsonObject, *names: str) -> object:
    """Return a member that may be spelt in two ways."""
    return next((fields[name] for name in names if fields.get(name)), None)


def _text(value: object) -> str:
    """Return a text as it is, nothing for nothing, and anything else as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else compact(value)

from typing import Any

import pytest

from cab.proxy.demo.responder import THOUGHT, DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage, count_prompt, count_reply, count_usage
from cab.proxy.tokens.encodings import count, count_text
from cab.proxy.tokens.model_families import OTHER
from cab.proxy.tokens.prompt_readers import read_prompt
from tests.tools.chat_counts import count_chat_completion, count_chat_prompt

CALL = ToolCall("bash", '{"command":"ls"}')
HELLO = {"role": "user", "content": "hello world"}
ANSWERED: list[dict[str, Any]] = [
    HELLO,
    {"role": "assistant", "content": "I look."},
    {"role": "assistant", "content": "And look."},
    {"role": "user", "content": "go on"},
]


def usage_of(messages: list[dict[str, Any]], reply: DemoReply, **more: Any) -> DemoUsage:
    return count_usage("chat.completions", {"messages": messages}, reply, **{"choices": 1, **more})


@pytest.mark.parametrize(
    "reply", [DemoReply("hello"), DemoReply("I look.", (CALL,)), DemoReply(None, (CALL,))]
)
def test_chat_costs_what_its_messages_cost(reply: DemoReply) -> None:
    """Prompt and answer cost what a chat prompt and a chat answer of these texts cost."""
    calls = [{"function": {"name": c.name, "arguments": c.arguments}} for c in reply.calls]
    message = {"role": "assistant", "content": reply.text, "tool_calls": calls}
    usage = usage_of(ANSWERED, reply)
    assert usage.prompt_tokens == count_chat_prompt(ANSWERED)
    assert usage.completion_tokens == count_chat_completion(message)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_every_choice_costs() -> None:
    """Three answers cost three times one."""
    one, three = (usage_of(ANSWERED, DemoReply("hello"), choices=n) for n in (1, 3))
    assert three.completion_tokens == 3 * one.completion_tokens
    assert three.prompt_tokens == one.prompt_tokens


def test_what_stood_before_the_last_answer_is_cached() -> None:
    """The cached part is the prompt of the call before; the first call of a conversation has none."""
    assert usage_of(ANSWERED, DemoReply("x")).cached_tokens == count_chat_prompt([HELLO])
    assert usage_of([HELLO], DemoReply("x")).cached_tokens == 0
    assert usage_of(ANSWERED[1:], DemoReply("x")).cached_tokens == 0


def test_thoughts_are_a_part_of_the_completion() -> None:
    """A thought costs its tokens, which are named apart as well."""
    plain, thinking = (usage_of([HELLO], DemoReply("x", thought=text)) for text in (None, THOUGHT))
    assert thinking.reasoning_tokens == count_text(THOUGHT)
    assert thinking.completion_tokens == plain.completion_tokens + thinking.reasoning_tokens


def test_prompts_are_counted_in_their_dialect() -> None:
    """A prompt costs what its own dialect says is read."""
    data: dict[str, Any] = {"system": "rules", "messages": [HELLO]}
    assert count_prompt("messages", data) == count(read_prompt("messages", data).costs(OTHER))
    assert count_reply("messages", DemoReply("x")) > 0

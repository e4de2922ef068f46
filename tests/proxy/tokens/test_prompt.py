from typing import Any

import pytest

from cab.proxy.tokens.encodings import TokenCost
from cab.proxy.tokens.model_families import OTHER, Family
from cab.proxy.tokens.prompt import Prompt, Turn, answer_costs

PRIMES = Family(
    models=(),
    start=2,
    message=3,
    answer=5,
    tools=7,
    chat_tools=11,
    schema=13,
    thinking=17,
    call=19,
    result=23,
    answer_end=29,
    response_end=31,
    answer_call=37,
    several_calls=41,
)
SIGNATURES = Family(models=(), message=3, answer=0, signatures=True)
TOOL = {"type": "function", "function": {"name": "run"}}
WRITTEN = "# Tools\n\n## functions\n\nnamespace functions {\n\ntype run = () => any;\n\n} // namespace functions"


def split(costs: Any) -> tuple[list[str], int]:
    """The texts in order, and the sum of what stands around them."""
    parts: list[TokenCost] = list(costs)
    texts = [part for part in parts if isinstance(part, str)]
    return texts, sum(part for part in parts if isinstance(part, int))


@pytest.mark.parametrize(
    ("prompt", "texts", "around"),
    [
        (Prompt("messages"), [], 2 + 5),
        (Prompt("messages", [Turn("user", ["a", "b"])]), ["a", "b"], 2 + 5 + 3),
        (Prompt("messages", [Turn("assistant", calls=[["run", "{}"]])]), ["run", "{}"], 2 + 5 + 3 + 19),
        (
            Prompt("messages", [Turn("assistant", ["t"], [["f", "1"], ["g", "2"]])]),
            ["t", "f", "1", "g", "2"],
            2 + 5 + 3 + 2 * 19 + 41,
        ),
        (Prompt("messages", [Turn("tool", ["out"], result_of="run")]), ["out", "run"], 2 + 5 + 3 + 23),
        (Prompt("messages", thinks=True), [], 2 + 5 + 17),
        (
            Prompt("messages", schema={"type": "object", "additionalProperties": False, "required": ["a", {}]}),
            ['{"type":"object","required":["a",{}]}'],
            2 + 5 + 13,
        ),
        (
            Prompt("messages", tools=[TOOL]),
            ['{"type":"function","function":{"name":"run"}}'],
            2 + 5 + 7,
        ),
        (
            Prompt("chat.completions", tools=[TOOL]),
            ['{"type":"function","function":{"name":"run"}}'],
            2 + 5 + 7 + 11,
        ),
        (Prompt("messages", tools=[2**70]), ["1180591620717411303424"], 2 + 5 + 7),
        (Prompt("completions", [Turn(texts=["a", "b"])], tokens=9), ["a", "b"], 9),
        (Prompt("embeddings", [Turn(texts=["a"])]), ["a"], 0),
    ],
)  # fmt: skip
def test_costs(prompt: Prompt, texts: list[str], around: int) -> None:
    """A prompt costs its texts, and what its family puts around each part of it."""
    assert split(prompt.costs(PRIMES)) == (texts, around)


def test_schemas_are_not_part_of_every_prompt() -> None:
    """A family whose models do not read the schema of a structured answer does not pay for it."""
    assert split(Prompt("messages", schema={"type": "object"}).costs(OTHER)) == ([], 3)


def test_signatures_are_part_of_the_instructions() -> None:
    """Signatures are added to the instructions, and cost a message more where there are none."""
    bare = Prompt("responses", tools=[TOOL])
    assert split(bare.costs(SIGNATURES)) == ([WRITTEN], 3)
    for role in ("system", "developer"):
        prompt = Prompt("responses", [Turn(role, ["Be brief."])], tools=[TOOL])
        assert split(prompt.costs(SIGNATURES)) == (["Be brief.", WRITTEN], 3)


@pytest.mark.parametrize(
    ("endpoint", "calls", "complete", "around"),
    [
        ("messages", 0, True, 29),
        ("messages", 0, False, 0),
        ("messages", 1, False, 37),
        ("messages", 2, True, 29 + 2 * 37 + 41),
        ("responses", 0, True, 29 + 31),
        ("completions", 0, True, 0),
        ("embeddings", 0, True, 0),
    ],
)
def test_answers(endpoint: Any, calls: int, complete: bool, around: int) -> None:
    """An answer costs its texts, its calls, and its end if that came and the dialect has one."""
    costs = answer_costs(endpoint, ["a", "b"], calls, PRIMES, complete=complete)
    assert split(costs) == (["a", "b"], around)

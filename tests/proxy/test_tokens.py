import base64
import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tiktoken_ext.openai_public as published
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy import tokens
from cab.proxy.errors import BadConfig
from cab.proxy.tokens import (
    ENCODINGS,
    LONG_RUN,
    count_chat_completion,
    count_chat_prompt,
    count_text,
    load_encoding,
    uncounted_parts,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
member_names = st.sampled_from(
    ["role", "name", "content", "tool_calls", "tool_call_id", "function", "arguments", "text",
     "refusal", "reasoning", "reasoning_content", "type"]
)  # fmt: skip
message_like = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(member_names, inner, max_size=5),
    max_leaves=10,
)


def ranks(name: str) -> dict[bytes, int]:
    data = Path(tokens.__file__).with_name("encodings").joinpath(f"{name}.tiktoken").read_bytes()
    return {base64.b64decode(t): int(r) for t, r in (line.split() for line in data.splitlines())}


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reference(encoding: str) -> tiktoken.Encoding:
    return published_encoding(encoding)


@functools.cache
def published_encoding(name: str) -> tiktoken.Encoding:
    """The encoding as tiktoken defines it itself, with its download replaced by our file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "load_tiktoken_bpe", lambda *_, **__: ranks(name))
        return tiktoken.Encoding(**getattr(published, name)())


@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("2 + 2 = 4", 7, 7),
        ("antidisestablishmentarianism", 6, 6),
        ("お誕生日おめでとう", 8, 9),
    ],
)
def test_texts_cost_what_openai_publishes(text: str, o200k: int, cl100k: int) -> None:
    """Texts whose counts OpenAI has published cost just that."""
    assert (count_text(text), count_text(text, "cl100k_base")) == (o200k, cl100k)


def test_encodings_are_tiktokens_own(encoding: str, reference: tiktoken.Encoding) -> None:
    """Any text of ordinary runs is counted as by tiktoken's own definition of the encoding."""

    @settings(max_examples=200)
    @given(st.text(max_size=300))
    def same(text: str) -> None:
        assert load_encoding(encoding).encode_ordinary(text) == reference.encode_ordinary(text)
        assert count_text(text, encoding) == len(reference.encode_ordinary(text))

    same()


def test_special_tokens_agree_with_tiktoken(encoding: str, reference: tiktoken.Encoding) -> None:
    """The special tokens have the numbers that tiktoken gives them."""
    ours = load_encoding(encoding)
    assert ours.special_tokens_set == reference.special_tokens_set
    assert ours.n_vocab == reference.n_vocab
    assert ours.eot_token == reference.eot_token


def test_special_tokens_in_a_text_are_plain_text(encoding: str) -> None:
    """A text that spells a special token costs what its letters cost."""
    assert count_text("<|endoftext|>", encoding) > 1


def test_lone_surrogates_are_counted() -> None:
    """A text that UTF-8 cannot hold is counted all the same."""
    assert count_text("\ud800 and more") > 1


@given(st.lists(st.sampled_from(["a", " ", "\n", "7", "漢", "word "]).flatmap(
    lambda unit: st.integers(1, 2 * LONG_RUN).map(lambda times: unit * times)), max_size=4))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_cutting_loses_nothing(runs: list[str]) -> None:
    """Cutting keeps every character, and no unbroken run longer than the limit is left."""
    text = "".join(runs)
    pieces = list(tokens._pieces(text))
    assert "".join(pieces) == text
    assert not any(tokens._LONG_RUNS.search(piece[:-1]) for piece in pieces)


@pytest.mark.parametrize("unit", ["a", "漢", "=", " ", "\n", "abcdefghij", "Aa"])
def test_cutting_hardly_changes_a_count(
    unit: str, encoding: str, reference: tiktoken.Encoding
) -> None:
    """A long unbroken run is counted within two tokens for each cut."""
    text = (unit * 20_000)[:20_000]
    exact = len(reference.encode_ordinary(text))
    assert abs(count_text(text, encoding) - exact) <= 2 * 20_000 / LONG_RUN


def test_texts_without_long_runs_are_exact(reference: tiktoken.Encoding, encoding: str) -> None:
    """Long texts of ordinary words are counted exactly."""
    text = Path(tokens.__file__).read_text() * 3
    assert count_text(text, encoding) == len(reference.encode_ordinary(text))


@pytest.mark.parametrize(
    ("message", "texts", "frames"),
    [
        ({"role": "user", "content": "hi there"}, ["user", "hi there"], 3),
        ({"role": "user", "name": "ann", "content": "hi"}, ["user", "ann", "hi"], 3 + 1),
        ({"role": "user", "content": None}, ["user"], 3),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ["user", "a", "b"],
            3,
        ),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ["user"], 3),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, ["assistant", "no"], 3),
        ({"role": "assistant", "content": "x", "reasoning_content": "why"}, ["assistant", "x", "why"], 3),
        (
            {"role": "assistant", "reasoning": "why", "reasoning_content": "why"},
            ["assistant", "why"],
            3,
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "run", "arguments": "{}"}}]},
            ["assistant", "run", "{}"],
            6,
        ),
        ({"role": "assistant", "tool_calls": ["odd"]}, ["assistant", '"odd"'], 6),
        ({"role": "tool", "tool_call_id": "call_1", "content": "ok"}, ["tool", "call_1", "ok"], 3),
        ({"role": "user", "content": 7}, ["user", "7"], 3),
        ({"role": "user", "content": ["loose", 5]}, ["user", "loose", "5"], 3),
        ("no message", ['"no message"'], 3),
    ],
)  # fmt: skip
def test_prompt_rules(message: Any, texts: list[str], frames: int) -> None:
    """A message costs its texts and its frames, and the answer's opening 3, as documented."""
    assert count_chat_prompt([message]) == sum(map(count_text, texts)) + frames + 3


def test_tool_definitions_cost_their_compact_json() -> None:
    """A tool definition costs its JSON without white space, in the order of its members."""
    tool = {"type": "function", "function": {"name": "run", "parameters": {"b": 1, "a": 2}}}
    spelt = '{"type":"function","function":{"name":"run","parameters":{"b":1,"a":2}}}'
    plain = count_chat_prompt([{"role": "user", "content": "x"}])
    assert count_chat_prompt([{"role": "user", "content": "x"}], [tool]) == plain + count_text(
        spelt
    )


def test_what_json_cannot_say_is_counted_as_python_says_it() -> None:
    """An integer beyond 64 bits is counted, not refused."""
    assert count_chat_prompt([{"role": "user", "content": 2**70}]) > count_chat_prompt([])


def test_completion_rules() -> None:
    """An answer costs its texts and calls, with 3 for each call and no frame of its own."""
    message = {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [{"id": "call_1", "function": {"name": "run", "arguments": '{"a":1}'}}],
    }
    assert count_chat_completion(message) == sum(map(count_text, ("I look.", "run", '{"a":1}'))) + 3
    assert count_chat_completion({"content": None}) == 0


def test_uncounted_parts_are_the_ones_without_text() -> None:
    """Images and sounds are told, texts are not."""
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image, image]},
        {"role": "user", "content": "words"},
        "no message",
    ]
    assert uncounted_parts(messages) == 2


@given(st.lists(message_like, max_size=4), st.lists(json_values, max_size=2))
@settings(deadline=None)
def test_no_message_breaks_the_count(messages: list[Any], tools: list[Any]) -> None:
    """Whatever JSON stands for messages and tools, the count is a number of at least the opening."""
    assert count_chat_prompt(messages, tools) >= 3
    assert uncounted_parts(messages) >= 0
    assert all(count_chat_completion(m) >= 0 for m in messages if isinstance(m, dict))


def test_unknown_encodings_are_named() -> None:
    """An encoding that is not bundled is an error that lists the bundled ones."""
    with pytest.raises(BadConfig, match=r"'p50k' is unknown; known encodings: o200k_base, cl100k"):
        count_text("x", "p50k")


def test_damaged_encodings_are_refused() -> None:
    """An encoding whose bytes differ from the published ones is not used."""
    with pytest.raises(BadConfig, match=r"o200k_base\.tiktoken .*damaged.*reinstall"):
        tokens._check("o200k_base", b"aGVsbG8= 0\n", tokens._RECIPES["o200k_base"].sha256)


def test_counting_needs_neither_network_nor_cache(tmp_path: Path) -> None:
    """A fresh process counts with sockets forbidden, and tiktoken's cache folder stays empty."""
    script = (
        "import socket\n"
        "def no(*a, **k): raise SystemExit('reached for the network')\n"
        "socket.socket = socket.create_connection = socket.getaddrinfo = no\n"
        "from cab.proxy.tokens import ENCODINGS, count_text\n"
        "print([count_text('hello world', name) for name in ENCODINGS])\n"
    )
    environment = {
        **os.environ,
        "TIKTOKEN_CACHE_DIR": str(tmp_path),
        "DATA_GYM_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[2, 2]", "")
    assert list(tmp_path.iterdir()) == []

import base64
import functools
import os
import random
import string
import subprocess
import sys
from pathlib import Path

import pytest
import tiktoken
import tiktoken_ext.openai_public as published
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.errors import BadConfig
from cab.proxy.tokens import encodings
from cab.proxy.tokens.encodings import (
    ENCODINGS,
    WINDOW_CHARS,
    count,
    count_text,
    load_counter,
    load_encoding,
    pieces,
)
from tests.tools.nosockets import NO_SOCKETS


def ranks(name: str) -> dict[bytes, int]:
    data = (
        Path(encodings.__file__).with_name("vocabularies").joinpath(f"{name}.tiktoken").read_bytes()
    )
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
    """Any text is counted as by tiktoken's own definition of the encoding."""

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


def test_cuts_change_no_count(
    encoding: str, reference: tiktoken.Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that is cut at the places taken for safe costs what it costs in one piece."""
    monkeypatch.setattr(encodings, "WINDOW_CHARS", 24)
    words = st.sampled_from(["word", " a", "It's", "\n", "\r\n", "\t", "  ", "/", "=", "1234", "é", "漢", ". ", ";\n"])  # fmt: skip

    @settings(max_examples=300)
    @given(st.lists(words, max_size=40).map("".join))
    def same(text: str) -> None:
        parts = list(pieces(text))
        assert "".join(parts) == text
        if all(len(part) < 24 for part in parts):
            assert count_text(text, encoding) == len(reference.encode_ordinary(text))

    same()


def test_long_texts_are_exact(encoding: str, reference: tiktoken.Encoding) -> None:
    """Long texts of ordinary lines, or of words without a line end, are counted exactly."""
    lines = Path(encodings.__file__).read_text() * 20
    words = " ".join(lines.split())
    for text in (lines, words):
        assert len(list(pieces(text))) > 2
        assert count_text(text, encoding) == len(reference.encode_ordinary(text))


LONG = 3 * WINDOW_CHARS


@pytest.mark.parametrize(
    "text",
    ["a" * LONG, "漢" * LONG, "=" * LONG, " " * LONG, "\n" * LONG, "aB" * LONG, "1" * LONG,
     "".join(random.Random(7).choices(string.ascii_letters, k=LONG))],
    ids=["a", "han", "=", "space", "newline", "aB", "digit", "letters"],
)  # fmt: skip
def test_cuts_without_a_safe_place_hardly_change_a_count(
    text: str, encoding: str, reference: tiktoken.Encoding
) -> None:
    """An unbroken run is cut into windows, which changes its count by two at most for each."""
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= WINDOW_CHARS
    exact = sum(
        len(reference.encode_ordinary(text[i : i + LONG])) for i in range(0, len(text), LONG)
    )
    assert abs(count_text(text, encoding) - exact) <= 2 * len(text) / WINDOW_CHARS


def test_costs_add_up() -> None:
    """A sum of costs is the texts' tokens and the plain numbers, and may shrink by some."""
    assert count(["hello world", 3, "", "hello", -1]) == 2 + 3 + 0 + 1 - 1


def test_a_count_can_be_ended_between_two_pieces() -> None:
    """Each piece is preceded by a check, and what it raises ends the count there."""
    asked: list[int] = []

    def twice() -> None:
        asked.append(1)
        if len(asked) > 2:
            raise KeyError

    with pytest.raises(KeyError):
        count(["a" * 10 * WINDOW_CHARS], check_cancelled=twice)
    assert len(asked) == 3


@pytest.mark.parametrize("load", [load_encoding, load_counter])
def test_unknown_encodings_are_named(load: object) -> None:
    """An encoding that is not bundled is an error that says what there is."""
    assert callable(load)
    with pytest.raises(BadConfig, match=r"'p50k' is unknown; known .*: o200k_base, cl100k.* path"):
        load("p50k")


def test_damaged_encodings_are_refused() -> None:
    """An encoding whose bytes differ from the published ones is not used."""
    with pytest.raises(BadConfig, match=r"o200k_base\.tiktoken .*damaged.*reinstall"):
        encodings._check("o200k_base", b"aGVsbG8= 0\n", encodings._DEFINITIONS["o200k_base"].sha256)


def test_the_files_to_be_built_in_are_the_published_ones() -> None:
    """The folder that goes into the wheel holds the known encodings, unchanged, and nothing else."""
    folder = Path(encodings.__file__).resolve().with_name("vocabularies")
    assert {file.name for file in folder.iterdir()} == {f"{name}.tiktoken" for name in ENCODINGS}
    for name in ENCODINGS:
        data = (folder / f"{name}.tiktoken").read_bytes()
        encodings._check(name, data, encodings._DEFINITIONS[name].sha256)


COUNTING = """
from cab.proxy.tokens.encodings import ENCODINGS, count_text
print([count_text("hello world", name) for name in ENCODINGS])
"""


def alone(script: str, cache: Path) -> subprocess.CompletedProcess[str]:
    caches = {"TIKTOKEN_CACHE_DIR": str(cache), "DATA_GYM_CACHE_DIR": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **caches},
        capture_output=True,
        text=True,
        check=False,
    )


def test_counting_opens_no_socket(tmp_path: Path) -> None:
    """A process that the kernel ends at its first socket counts, and tiktoken's cache stays empty."""
    done = alone(NO_SOCKETS + COUNTING, tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("[2, 2]", "")
    assert list(tmp_path.iterdir()) == []


def test_a_socket_would_have_been_noticed(tmp_path: Path) -> None:
    """The same process with a socket in it is ended by the kernel."""
    done = alone(NO_SOCKETS + "import socket; socket.socket(); print('open')", tmp_path)
    assert (done.stdout, done.returncode < 0) == ("", True)

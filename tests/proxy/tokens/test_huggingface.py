import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from cab.proxy.errors import BadConfig
from cab.proxy.tokens.encodings import WINDOW_CHARS, count_text
from cab.proxy.tokens.huggingface import load_tokenizer_file
from cab.proxy.tokens.usage import Counter
from tests.tools.nosockets import NO_SOCKETS
from tests.tools.programs import run_python


def make_tokenizer(path: Path) -> Tokenizer:
    """Train a tokenizer on two words, with a limit and filling as files from training have them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["tango foxtrot " * 50], trainer)
    tokenizer.enable_truncation(max_length=4)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(path))
    return tokenizer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    make_tokenizer(path)
    return path


def test_texts_cost_what_the_file_says(file: Path) -> None:
    """A word of the file's vocabulary is one token, uncut and unfilled, and others are their bytes."""
    count = load_tokenizer_file(str(file))
    assert [count(text) for text in ("", "tango", "tango foxtrot tango", "é")] == [0, 1, 3, 2]
    assert count("tango" * 100) == 100


def test_lone_surrogates_are_counted(file: Path) -> None:
    """A text that UTF-8 cannot hold is counted all the same."""
    assert load_tokenizer_file(str(file))("\ud800 tango") > 1


def test_special_tokens_in_a_text_are_plain_text(file: Path) -> None:
    """A text that spells one of the file's special tokens costs what its letters cost."""
    assert load_tokenizer_file(str(file))("<|end|>") == len("<|end|>")


def test_a_path_counts_wherever_an_encoding_does(file: Path) -> None:
    """Texts of several windows are counted by pieces, and a counter takes the path from its map."""
    assert count_text("tango " * WINDOW_CHARS, str(file)) >= WINDOW_CHARS
    assert Counter({"my-*": str(file)}, 1, 1).encoding_for("my-model", "") == str(file)


def test_paths_count_from_the_working_directory(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is looked up in the working directory."""
    monkeypatch.chdir(file.parent)
    assert load_tokenizer_file("tokenizer.json")("tango") == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot be read: No such file"), (b"{", "is not a tokenizer.json: EOF"), (b"\xff", "is not a tokenizer.json")],
)  # fmt: skip
def test_unusable_files_are_one_line(content: bytes | None, complaint: str, tmp_path: Path) -> None:
    """A file that is missing or damaged is one line that names it, when the proxy starts."""
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadConfig, match=complaint) as caught:
        Counter({"*": str(path)}, 1, 1)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_one_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, a tokenizer file is an error that says how to install it."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BadConfig) as caught:
        load_tokenizer_file(str(file))
    assert str(caught.value) == (
        f"encodings: {file} needs a library that is not installed; "
        "pip install 'coding-agent-bench[tokenizers]'"
    )


def test_counting_opens_no_socket(file: Path) -> None:
    """A process that the kernel ends at its first socket reads the file and counts."""
    script = (
        "import sys\n"
        "from cab.proxy.tokens.huggingface import load_tokenizer_file\n"
        "print(load_tokenizer_file(sys.argv[1])('tango'))\n"
    )
    assert run_python("-c", NO_SOCKETS + script, file) == "1\n"

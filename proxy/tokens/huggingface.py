"""Counting with a Hugging Face `tokenizer.json`, for models with an encoding of their own.

The library that reads such files is an extra: `pip install 'coding-agent-bench[tokenizers]'`.
"""

from collections.abc import Callable
from pathlib import Path

from cab.proxy.errors import BadConfig
from cab.proxy.meter.json_values import clean


def load_tokenizer_file(path: str) -> Callable[[str], int]:
    """Return what counts the tokens of a text with a tokenizer file.

    Args:
        path: The file, relative to the working directory; nothing is looked up elsewhere.

    Raises:
        BadConfig: The library is not installed, or the file is missing or damaged.
    """
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - an extra, needed by few
    except ImportError as error:
        raise BadConfig(
            f"encodings: {path} needs a library that is not installed; "
            "pip install 'coding-agent-bench[tokenizers]'"
        ) from error
    try:
        tokenizer = Tokenizer.from_str(Path(path).read_text("utf-8"))
    except OSError as error:
        raise BadConfig(f"encodings: {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # the library raises nothing more exact than Exception
        raise BadConfig(f"encodings: {path} is not a tokenizer.json: {error}") from error
    # The file may say how inputs are cut and filled for training, which does not matter here.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # What looks like a special token is plain text, as everywhere here.
    tokenizer.encode_special_tokens = True
    return lambda text: len(tokenizer.encode(clean(text), add_special_tokens=False).ids)

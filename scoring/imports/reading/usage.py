"""The usage object of one model call, in the words of whichever endpoint it is from."""

from pathlib import Path
from typing import Final, NamedTuple

from cab.scoring.files import FileModel, validated
from cab.scoring.imports.model import FileCount


class Counts(NamedTuple):
    """The tokens of one call; the prompt includes what came from a cache."""

    prompt: int | None
    completion: int | None
    cached: int | None
    reasoning: int | None


NOT_COUNTED: Final = Counts(None, None, None, None)
"""A call that has no usage object."""


class _Details(FileModel):
    cached_tokens: FileCount | None = None
    reasoning_tokens: FileCount | None = None


class _Usage(FileModel):
    prompt_tokens: FileCount | None = None
    completion_tokens: FileCount | None = None
    input_tokens: FileCount | None = None
    output_tokens: FileCount | None = None
    cache_creation_input_tokens: FileCount | None = None
    cache_read_input_tokens: FileCount | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


def counts_of(usage: object, path: Path, at: str) -> Counts:
    """Return the tokens that a usage object names.

    Args:
        usage: Parsed JSON, None if the call has none.
        path: File that it is from, for errors.
        at: Where it stands in the file, for errors.

    Raises:
        BadRecord: It is not an object, or a count is of the wrong type or out of range.
    """
    if usage is None:
        return NOT_COUNTED
    read = validated(_Usage, usage, path, at)
    prompt, completion = read.prompt_tokens, read.completion_tokens
    if prompt is None and read.input_tokens is not None:
        # Anthropic's own words: cached tokens come beside the input, not within it.
        beside = (read.cache_read_input_tokens or 0) + (read.cache_creation_input_tokens or 0)
        prompt = read.input_tokens + beside
    inputs = read.prompt_tokens_details or read.input_tokens_details or _Details()
    outputs = read.completion_tokens_details or read.output_tokens_details or _Details()
    cached = inputs.cached_tokens
    return Counts(
        prompt=prompt,
        completion=read.output_tokens if completion is None else completion,
        cached=read.cache_read_input_tokens if cached is None else cached,
        reasoning=outputs.reasoning_tokens,
    )

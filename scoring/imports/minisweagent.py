"""mini-swe-agent: the trajectory of one run, `*.traj.json`.

Versions: without `trajectory_format` (before August 2025), `mini-swe-agent-1` and
`mini-swe-agent-1.1`. They differ in where a message keeps its time and the endpoint's answer. A
trajectory says how the agent ended and not whether it was right: there is no verdict.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_object, read_json, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading import FieldNames, inner, make_cell_id, sum_known, usd
from cab.scoring.timestamps import LONGEST_MS

_TUI = "mini-swe-agent"
_VERSION = re.compile(r"mini-swe-agent-1(\.[0-9]+)?")
_SWE_BENCH_ID = re.compile(r".+__.+-[0-9]+")
_TIME_LIMIT = "TimeExceeded"
_ENDINGS = (".traj.json", ".json")

Seconds = Annotated[float, Field(ge=0, le=1e11)]
"""Seconds since 1970."""


class _Stats(FileModel):
    instance_cost: Annotated[float, Field(ge=0)] | None = None
    api_calls: FileCount | None = None


class _Model(FileModel):
    model_name: str | None = None


class _Config(FileModel):
    model: _Model | None = None


class _Info(FileModel):
    exit_status: str | None = None
    mini_version: str | None = None
    model_stats: _Stats | None = None
    config: _Config | None = None


class _Trajectory(FileModel):
    trajectory_format: str | None = None
    instance_id: str | None = None
    info: _Info
    messages: list[dict[str, object]]


class _Details(FileModel):
    cached_tokens: FileCount | None = None
    reasoning_tokens: FileCount | None = None


class _Usage(FileModel):
    """A usage object, in the words of whichever endpoint it is from."""

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


class _Counts(NamedTuple):
    """The tokens of one call; the prompt includes what came from a cache."""

    prompt: int | None
    completion: int | None
    cached: int | None
    reasoning: int | None


class _Times(FileModel):
    timestamp: Seconds | None = None


_NOT_COUNTED = _Counts(None, None, None, None)


def is_mini_trajectory(data: object) -> bool:
    """Return whether parsed JSON looks like a trajectory."""
    return is_object(data) and (
        "trajectory_format" in data or ("info" in data and "messages" in data)
    )


def read_mini_trajectory(path: Path) -> ImportedCell:
    """Return the cell of a trajectory; without an instance id it has the name of the file.

    The usage objects of all messages are summed. Where one call has none, or there are fewer
    than the agent made calls, the sums are None.

    Raises:
        BadRecord: It is not a trajectory of a known version, or a field is missing, of the wrong type
            or out of range.
    """
    return mini_of(read_json(path), path)


def mini_of(data: object, path: Path) -> ImportedCell:
    """Return the cell of a trajectory that is parsed already; errors as for the reader."""
    run = validated(_Trajectory, data, path)
    version = run.trajectory_format
    if version is not None and not _VERSION.fullmatch(version):
        what = f"{version!r} is not known; mini-swe-agent-1 and mini-swe-agent-1.1 are"
        raise BadRecord(str(path), None, what, field="trajectory_format")
    name = run.instance_id or _stem(path)
    ended = run.info.exit_status or "none"
    wall_clock_ms = _wall_clock_ms(run.messages, path)
    return ImportedCell(
        cell_id=_cell_id(run, name, path),
        origin=Origin(form="mini-swe-agent.trajectory", version=version, name=name),
        passed=None,
        reason=f"exit status {ended}; a trajectory holds no verdict",
        stopped=run.info.exit_status == _TIME_LIMIT,
        wall_clock_ms=wall_clock_ms,
        agent_ms=wall_clock_ms,
        self_reported=_own_count(run, path),
    )


def _stem(path: Path) -> str:
    name = path.name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def _cell_id(run: _Trajectory, name: str, path: Path) -> str:
    config = run.info.config
    model = None if config is None or config.model is None else config.model.model_name
    family = "swe-bench" if _SWE_BENCH_ID.fullmatch(name) else _TUI
    return make_cell_id(FieldNames(_TUI, model, family, name), path)


def _own_count(run: _Trajectory, path: Path) -> OwnCount | None:
    stats = run.info.model_stats or _Stats()
    written = list(_calls(run.messages, path))
    counted = [call for call in written if call != _NOT_COUNTED]
    if stats.api_calls is None and stats.instance_cost is None and not counted:
        return None
    # A call that failed left no message, and a person may have written one in the model's place.
    made = len(written) if stats.api_calls is None else stats.api_calls
    whole = len(counted) == made and (counted or stats.api_calls == 0)
    known = counted if whole else [_NOT_COUNTED]
    prompt = sum_known([call.prompt for call in known])
    completion = sum_known([call.completion for call in known])
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
        cache_read_tokens=sum_known([call.cached for call in known]),
        reasoning_tokens=sum_known([call.reasoning for call in known]),
        model_calls=stats.api_calls,
        counted_calls=len(counted),
        cost_usd=usd(stats.instance_cost, path, "info.model_stats.instance_cost"),
    )


def _calls(messages: Sequence[Mapping[str, object]], path: Path) -> Iterator[_Counts]:
    """Yield the counts of each message that an endpoint wrote."""
    for number, message in enumerate(messages):
        response = inner(message, "extra", "response")
        if message.get("object") == "response":
            # The answer of a `responses` endpoint is the message itself.
            yield _counts(message.get("usage"), path, f"messages.{number}.usage")
        elif message.get("role") == "assistant" or response is not None:
            usage = inner(message, "extra", "response", "usage")
            yield _counts(usage, path, f"messages.{number}.extra.response.usage")


def _counts(usage: object, path: Path, at: str) -> _Counts:
    if usage is None:
        return _NOT_COUNTED
    read = validated(_Usage, usage, path, at)
    prompt, completion = read.prompt_tokens, read.completion_tokens
    if prompt is None and read.input_tokens is not None:
        # Anthropic's own words: cached tokens come beside the input, not within it.
        beside = (read.cache_read_input_tokens or 0) + (read.cache_creation_input_tokens or 0)
        prompt = read.input_tokens + beside
    inputs = read.prompt_tokens_details or read.input_tokens_details or _Details()
    outputs = read.completion_tokens_details or read.output_tokens_details or _Details()
    cached = inputs.cached_tokens
    return _Counts(
        prompt=prompt,
        completion=read.output_tokens if completion is None else completion,
        cached=read.cache_read_input_tokens if cached is None else cached,
        reasoning=outputs.reasoning_tokens,
    )


def _wall_clock_ms(messages: Sequence[Mapping[str, object]], path: Path) -> float | None:
    """Return the time from the first message to the last, None unless both have one."""
    if not messages:
        return None
    start, end = _time_s(messages, 0, path), _time_s(messages, len(messages) - 1, path)
    if start is None or end is None:
        return None
    if not start <= end <= start + LONGEST_MS / 1000:
        at = f"messages.{len(messages) - 1}.timestamp"
        what = "is before the first message's, or decades after it"
        raise BadRecord(str(path), None, what, field=at)
    return (end - start) * 1000


def _time_s(messages: Sequence[Mapping[str, object]], number: int, path: Path) -> float | None:
    message = messages[number]
    time_s = validated(_Times, dict(message), path, f"messages.{number}").timestamp
    if time_s is not None:
        return time_s
    extra = message.get("extra")
    if not is_object(extra):
        return None
    return validated(_Times, extra, path, f"messages.{number}.extra").timestamp

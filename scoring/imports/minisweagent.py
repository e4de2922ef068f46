"""mini-swe-agent: the trajectory of one run, `*.traj.json`.

Versions: a bare list of messages, which says nothing else; without `trajectory_format` (before August
2025), `mini-swe-agent-1` and `mini-swe-agent-1.1`. They differ in where a message keeps its time and the
endpoint's answer. A trajectory says how the agent ended and not whether it was right: there is no
verdict.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import seconds_between_ms
from cab.scoring.imports.reading.files import load
from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.imports.reading.usage import NOT_COUNTED, Counts, counts_of
from cab.scoring.imports.reading.values import Amount, inner, inner_text, sum_known, usd

_TUI = "mini-swe-agent"
_VERSION = re.compile(r"mini-swe-agent-1(\.[0-9]+)?")
_SWE_BENCH_ID = re.compile(r".+__.+-[0-9]+")
_TIME_LIMIT = "TimeExceeded"
_ENDINGS = (".traj.json", ".json")

_MARKS = frozenset({"info", "messages"})
_ROLES: frozenset[str | None] = frozenset({"system", "user", "assistant", "tool", "exit"})
_BEGINS = frozenset({"system", "user"})


class _Stats(FileModel):
    instance_cost: Amount | None = None
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


class _Times(FileModel):
    timestamp: float | None = None


def is_mini_trajectory(data: object) -> bool:
    """Return whether parsed JSON looks like a trajectory with what it says of the run."""
    if not is_object(data) or not is_list(data.get("messages")):
        return False
    version = data.get("trajectory_format")
    named = isinstance(version, str) and version.startswith(_TUI)
    return named or (data.keys() >= _MARKS and is_object(data["info"]))


def is_mini_messages(data: object) -> bool:
    """Return whether parsed JSON looks like a bare list of messages, from the prompt to the last answer."""
    if not is_list(data) or not data:
        return False
    roles = [inner_text(each, "role") if is_object(each) else None for each in data]
    whole = all(is_object(each) and "content" in each for each in data)
    return whole and roles[0] in _BEGINS and "assistant" in roles and _ROLES.issuperset(roles)


def read_mini_trajectory(path: Path) -> ImportedCell:
    """Return the cell of a trajectory; without an instance id it has the name of the file.

    The usage objects of all messages are summed. Where one call has none, or there are fewer
    than the agent made calls, the sums are None.

    Raises:
        BadRecord: It is not a trajectory of a known version, or a field is missing, of the wrong type
            or out of range.
    """
    source = InputFile(path)
    return source.one(lambda _: mini_of(load(source), source))


def mini_of(data: object, source: InputFile) -> ImportedCell:
    """Return the cell of a trajectory that is parsed already; errors as for the reader."""
    path = source.path
    if is_list(data) and not is_mini_messages(data):
        raise BadRecord(str(path), None, "is a list, but not one of an agent's messages")
    run = validated(_Trajectory, {"info": {}, "messages": data} if is_list(data) else data, path)
    version = run.trajectory_format
    if version is not None and not _VERSION.fullmatch(version):
        what = f"{version[:40]!r} is not known; mini-swe-agent-1 and mini-swe-agent-1.1 are"
        raise BadRecord(str(path), None, what, field="trajectory_format")
    name = run.instance_id or _stem(path)
    ended = run.info.exit_status or "none"
    wall_clock_ms = _wall_clock_ms(run.messages, source)
    return ImportedCell(
        cell_id=_cell_id(run, name, path),
        origin=Origin(form="mini-swe-agent.trajectory", version=version, name=name, verdicts=False),
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
    counted = [call for call in written if call != NOT_COUNTED]
    if stats.api_calls is None and stats.instance_cost is None and not counted:
        return None
    # A call that failed left no message, and a person may have written one in the model's place.
    made = len(written) if stats.api_calls is None else stats.api_calls
    whole = len(counted) == made and (counted or stats.api_calls == 0)
    known = counted if whole else [NOT_COUNTED]
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


def _calls(messages: Sequence[Mapping[str, object]], path: Path) -> Iterator[Counts]:
    """Yield the counts of each message that an endpoint wrote."""
    for number, message in enumerate(messages):
        response = inner(message, "extra", "response")
        if message.get("object") == "response":
            # The answer of a `responses` endpoint is the message itself.
            yield counts_of(message.get("usage"), path, f"messages.{number}.usage")
        elif message.get("role") == "assistant" or response is not None:
            usage = inner(message, "extra", "response", "usage")
            yield counts_of(usage, path, f"messages.{number}.extra.response.usage")


def _wall_clock_ms(messages: Sequence[Mapping[str, object]], source: InputFile) -> float | None:
    """Return the time from the first message to the last, None unless both have one."""
    if not messages:
        return None
    last = len(messages) - 1
    start, end = _time_s(messages, 0, source.path), _time_s(messages, last, source.path)
    return seconds_between_ms(start, end, source, f"messages.{last}.timestamp")


def _time_s(messages: Sequence[Mapping[str, object]], number: int, path: Path) -> float | None:
    message = messages[number]
    time_s = validated(_Times, dict(message), path, f"messages.{number}").timestamp
    if time_s is not None:
        return time_s
    extra = message.get("extra")
    if not is_object(extra):
        return None
    return validated(_Times, extra, path, f"messages.{number}.extra").timestamp

"""What a log of Inspect says of its samples; each epoch of a sample is a cell.

In the words of Inspect a cell's sweep is the run, or the set of runs; its agent is the solver, its family
the task, and its task the sample. A log that `cab export inspect` made gives back the ids that it was made from.
The input of Inspect's usage has no cached tokens in it. Its time is that of the sample, with the scoring.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import UNKNOWN, FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import checked_ms
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.values import Amount, inner, inner_text, sum_known, usd

_MARKS = frozenset({"version", "status", "eval"})
_OF_EVAL = frozenset({"task", "model"})
_OURS = "pass_rate"
"""Score that is the verdict in a log that we wrote."""
_GRADES: Final[Mapping[str, float]] = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect's letters: correct, partial, incorrect, no answer."""
_TIME_LIMITS = frozenset({"time", "working"})
_LATEST = 2


class _Usage(FileModel):
    input_tokens: FileCount
    output_tokens: FileCount
    input_tokens_cache_write: FileCount | None = None
    input_tokens_cache_read: FileCount | None = None
    reasoning_tokens: FileCount | None = None
    total_cost: Amount | None = None


class _Limit(FileModel):
    type: str


class _Score(FileModel):
    value: object = None


class _Sample(FileModel):
    id: int | str
    epoch: FileCount = 1
    uuid: str | None = None
    scores: dict[str, _Score] | None = None
    model_usage: dict[str, _Usage] | None = None
    total_time: float | None = None
    working_time: float | None = None
    error: object = None
    limit: _Limit | None = None
    events: list[object] | None = None


class Header(NamedTuple):
    """What a log says of all its samples."""

    task: str
    model: str
    solver: str
    batch: str | None
    version: str | None
    ours: bool
    """Whether `cab export inspect` wrote it."""
    headline: str | None
    """Name of the score that counts, where the log says so."""


def is_inspect_log(data: object) -> bool:
    """Return whether parsed JSON looks like a log."""
    if not is_object(data) or not data.keys() >= _MARKS:
        return False
    spec = data["eval"]
    return is_object(spec) and spec.keys() >= _OF_EVAL and isinstance(data["status"], str)


def inspect_log_of(data: object, source: InputFile) -> list[ImportedCell]:
    """Return one cell per sample and epoch of a log in JSON, in the order of the file.

    Raises:
        BadRecord: It is of an unknown version, holds no samples, or none that can be read.
    """
    log = data if is_object(data) else {}
    header = header_of(log, source)
    samples = log.get("samples")
    if not is_list(samples):
        raise BadRecord(str(source.path), None, "holds no samples", field="samples")
    rows = (FileRow(each, f"samples.{number}") for number, each in enumerate(samples))
    return samples_of(rows, header, source)


def header_of(data: Mapping[str, object], source: InputFile) -> Header:
    """Return what a log, or its header alone, says of all samples.

    Raises:
        BadRecord: It is of an unknown version, or does not name its task and its model.
    """
    version = data.get("version")
    if not isinstance(version, int) or version > _LATEST:
        what = f"{str(version)[:40]} is not known; {_LATEST} and older are"
        raise BadRecord(str(source.path), None, what, field="version")
    task, model = inner_text(data, "eval", "task"), inner_text(data, "eval", "model")
    if task is None or model is None:
        raise BadRecord(str(source.path), None, "names no task or no model", field="eval")
    if data.get("status") not in {"success", "cancelled"}:
        source.note(f"the log is not complete: its status is {str(data.get('status'))[:20]}")
    return Header(
        task=task,
        model=model,
        solver=inner_text(data, "eval", "solver") or _solvers(data),
        batch=inner_text(data, "eval", "eval_set_id") or inner_text(data, "eval", "run_id"),
        version=inner_text(data, "eval", "packages", "inspect_ai"),
        ours=inner(data, "eval", "metadata", "cab") is not None,
        headline=inner_text(data, "eval", "headline_metric", "scorer"),
    )


def samples_of(rows: Iterable[FileRow], header: Header, source: InputFile) -> list[ImportedCell]:
    """Return the cell of each sample; one that cannot be read is noted and left out.

    Raises:
        BadRecord: There is none that can be read.
    """
    return source.cells(rows, lambda row, noting: _cell(row, header, noting))


def _solvers(data: Mapping[str, object]) -> str:
    steps = inner(data, "plan", "steps")
    names = (
        [inner_text(step, "solver") for step in steps if is_object(step)] if is_list(steps) else []
    )
    return "+".join(name for name in names if name) or UNKNOWN


def _cell(row: FileRow, header: Header, source: InputFile) -> ImportedCell:
    sample = validated(_Sample, row.data, source.path, row.at)
    passed, partial, reason = _verdict(sample, header)
    time_ms = None if sample.total_time is None else sample.total_time * 1000
    return ImportedCell(
        cell_id=make_cell_id(_names(sample, header), source.path),
        origin=Origin(
            form="inspect.log",
            version=header.version,
            name=f"{sample.id} epoch {sample.epoch}",
            id=sample.uuid,
        ),
        passed=passed,
        partial_score=partial,
        reason=reason,
        stopped=sample.limit is not None and sample.limit.type in _TIME_LIMITS,
        wall_clock_ms=checked_ms(time_ms, source, f"{row.at}.total_time"),
        self_reported=_own_count(sample, row, source),
    )


def _names(sample: _Sample, header: Header) -> FieldNames:
    task = str(sample.id)
    if header.ours and task.count("/") == 1:
        family, _, name = task.partition("/")
        return FieldNames(header.solver, header.model, family, name, header.task)
    return FieldNames(header.solver, header.model, header.task, task, header.batch)


def _verdict(sample: _Sample, header: Header) -> tuple[Literal[0, 1] | None, float | None, str]:
    """Return pass, partial score, and what the log says."""
    if sample.error is not None:
        # Only that there was one: its text may hold a key.
        return None, None, "the sample ended with an error, and Inspect does not score it"
    scores = sample.scores or {}
    name = _counting(list(scores), header)
    if name is None:
        others = ", ".join(sorted(scores))[:200]
        return None, None, f"several scores: {others}" if scores else "not scored"
    value = scores[name].value
    grade = _GRADES.get(value) if isinstance(value, str) else value
    if not isinstance(grade, int | float) or not 0 <= grade <= 1:
        return None, None, f"{name} is {str(value)[:80]}, which is no verdict"
    limit = "" if sample.limit is None else f"; limit: {sample.limit.type[:40]}"
    return (1 if grade == 1 else 0), float(grade), f"{name} {str(value)[:40]}{limit}"


def _counting(names: list[str], header: Header) -> str | None:
    """Return the name of the score that is the verdict: the only one, or the one that the log says."""
    if header.ours:
        return _OURS if _OURS in names else None
    if header.headline in names:
        return header.headline
    return names[0] if len(names) == 1 else None


def _own_count(sample: _Sample, row: FileRow, source: InputFile) -> OwnCount | None:
    models = list((sample.model_usage or {}).values())
    calls = _model_calls(sample.events)
    if not models:
        return None if calls is None else _only_calls(calls)
    prompt = sum(_prompt(each) for each in models)
    completion = sum(each.output_tokens for each in models)
    cost = sum_known([each.total_cost for each in models])
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cache_read_tokens=sum_known([each.input_tokens_cache_read for each in models]),
        reasoning_tokens=sum_known([each.reasoning_tokens for each in models]),
        model_calls=calls,
        cost_usd=usd(cost, source.path, f"{row.at}.model_usage"),
    )


def _prompt(usage: _Usage) -> int:
    beside = (usage.input_tokens_cache_write or 0) + (usage.input_tokens_cache_read or 0)
    return usage.input_tokens + beside


def _only_calls(calls: int) -> OwnCount:
    return OwnCount(
        prompt_tokens=None, completion_tokens=None, total_tokens=None, model_calls=calls
    )


def _model_calls(events: list[object] | None) -> int | None:
    """Return the calls among the events that reached an endpoint; None if there are no events."""
    if not events:
        return None
    return sum(1 for event in _model_events(events) if event.get("cache") != "read")


def _model_events(events: list[object]) -> Iterator[dict[str, object]]:
    for event in events:
        if is_object(event) and event.get("event") == "model":
            yield event

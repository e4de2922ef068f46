"""OpenHands' benchmarks: `output.jsonl`, one run per line, of both generations.

Before autumn 2025 the harness was part of OpenHands itself (`metadata.llm_config`), since then it is a
repository of its own (`metadata.llm`). A line holds the verdict only after the evaluation, or if the task's own
test gave one; SWE-bench's is in a second file beside it, `<name>.swebench_eval.jsonl`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import between_ms
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.lines import read_lines_or_json
from cab.scoring.imports.reading.values import Amount, inner, inner_text, sum_known, usd

_TUI = "openhands"
_FAMILY = "openhands"
_EVALUATED = ".swebench_eval.jsonl"
_MARKS = frozenset({"instance_id", "test_result"})
_WITH_ONE = frozenset({"metadata", "metrics", "history", "instruction", "error"})


class _Tokens(FileModel):
    prompt_tokens: FileCount | None = None
    completion_tokens: FileCount | None = None
    cache_read_tokens: FileCount | None = None
    reasoning_tokens: FileCount | None = None


class _Metrics(FileModel):
    accumulated_cost: Amount | None = None
    accumulated_token_usage: _Tokens | None = None
    token_usages: list[object] | None = None
    response_latencies: list[object] | None = None
    total_cost_usd: Amount | None = None
    total_prompt_tokens: FileCount | None = None
    total_completion_tokens: FileCount | None = None


class _Run(FileModel):
    instance_id: str
    attempt: FileCount | None = None
    test_result: dict[str, object]
    metadata: dict[str, object] | None = None
    history: list[object] | None = None
    metrics: _Metrics | None = None
    error: str | None = None


class _Verdict(NamedTuple):
    passed: Literal[0, 1] | None
    reason: str
    evaluated: bool = True


_NOT_EVALUATED = _Verdict(None, "not evaluated: the line holds no verdict", evaluated=False)


def is_openhands(data: object) -> bool:
    """Return whether parsed JSON looks like one line of such a file."""
    return (
        is_object(data)
        and data.keys() >= _MARKS
        and not _WITH_ONE.isdisjoint(data)
        and is_object(data["test_result"])
    )


def openhands_of(rows: Iterable[FileRow], source: InputFile) -> list[ImportedCell]:
    """Return one cell per line, in the order of the file.

    Raises:
        BadRecord: No line can be read.
    """
    reports = _reports(source)
    return source.cells(rows, lambda row, noting: _cell(row, reports, noting))


def _reports(source: InputFile) -> dict[str, object]:
    """Return instance -> what the evaluation beside the file says of it; empty if there is none."""
    path = source.path
    beside = path.with_name(f"{path.name.removesuffix('.gz').removesuffix('.jsonl')}{_EVALUATED}")
    if path.name.endswith(_EVALUATED) or not beside.is_file():
        return {}
    found: dict[str, object] = {}
    try:
        for row in read_lines_or_json(InputFile(beside), lambda data, _: [FileRow(data)]):
            name = inner_text(row.data, "instance_id") if is_object(row.data) else None
            if name is not None and is_object(row.data):
                found[name] = row.data.get("test_result")
    except BadRecord as error:
        source.note(f"the evaluation beside it cannot be read: {error}")
    return found


def _cell(row: FileRow, reports: Mapping[str, object], source: InputFile) -> ImportedCell:
    if not is_openhands(row.data):
        raise BadRecord(str(source.path), row.line, "is not a run of OpenHands")
    run = validated(_Run, row.data, source.path, row.at, row.line)
    beside = reports.get(run.instance_id)
    verdict = _verdict(run, beside if is_object(beside) else run.test_result)
    attempt = "" if run.attempt in {None, 1} else f" attempt {run.attempt}"
    return ImportedCell(
        cell_id=_cell_id(run, source.path),
        origin=Origin(
            form="openhands.output",
            version=_version(run),
            name=f"{run.instance_id}{attempt}",
            verdicts=verdict.evaluated,
        ),
        passed=verdict.passed,
        reason=verdict.reason,
        wall_clock_ms=(time_ms := _time_ms(run.history or [], source)),
        agent_ms=time_ms,
        self_reported=_own_count(run, source.path),
    )


def _cell_id(run: _Run, path: Path) -> str:
    metadata = run.metadata or {}
    model = inner_text(metadata, "llm", "model") or inner_text(metadata, "llm_config", "model")
    names = FieldNames(
        tui=inner_text(run.test_result, "acp_agent_name") or _agent(metadata),
        model=model,
        family=inner_text(metadata, "dataset") or _FAMILY,
        task=run.instance_id,
        sweep=path.absolute().parent.name or None,
    )
    return make_cell_id(names, path)


def _agent(metadata: Mapping[str, object]) -> str:
    kind = inner_text(metadata, "agent_type")
    return _TUI if kind in {None, "default"} else f"{_TUI}-{kind}"


def _version(run: _Run) -> str | None:
    metadata = run.metadata or {}
    return inner_text(metadata, "openhands_sdk_version") or inner_text(metadata, "git_commit")


def _verdict(run: _Run, result: Mapping[str, object]) -> _Verdict:
    if run.error:
        # Only that there was one: its text may hold a key.
        return _Verdict(None, "the harness reports an error of this run")
    report = result.get("report")
    if is_object(report) and report.get("error_eval") is True:
        return _Verdict(None, "not evaluated: the evaluation failed")
    for place, key in ((report, "resolved"), (result, "resolved"), (result, "passed")):
        said = place.get(key) if is_object(place) else None
        if isinstance(said, bool):
            return _Verdict(1, key) if said else _Verdict(0, _failure(report))
    return _NOT_EVALUATED


def _failure(report: object) -> str:
    if is_object(report) and report.get("empty_generation") is True:
        return "no patch"
    if is_object(report) and report.get("failed_apply_patch") is True:
        return "not resolved: the patch did not apply"
    if is_object(report) and report.get("test_timeout") is True:
        return "not resolved: the tests took too long"
    return "not resolved"


def _time_ms(history: list[object], source: InputFile) -> float | None:
    """Return the time from the first dated event to the last."""
    dated = [stamp for event in history for stamp in _stamps(event)]
    if len(dated) < 2:
        return None
    # Events of a pair are not in order in old files. Texts of one form sort as their instants do.
    ordered = sorted(dated, key=_sortable)
    return between_ms(ordered[0], ordered[-1], source, "history")


def _stamps(event: object) -> list[str]:
    parts = event if is_list(event) else [event]  # old files hold pairs of action and observation
    found = [inner(part, "timestamp") for part in parts if is_object(part)]
    return [stamp for stamp in found if isinstance(stamp, str) and _is_instant(stamp)]


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _sortable(text: str) -> tuple[bool, datetime]:
    instant = datetime.fromisoformat(text)
    return instant.tzinfo is None, instant


def _own_count(run: _Run, path: Path) -> OwnCount | None:
    metrics = run.metrics
    if metrics is None:
        return None
    read = metrics.accumulated_token_usage or _Tokens(
        prompt_tokens=metrics.total_prompt_tokens,
        completion_tokens=metrics.total_completion_tokens,
    )
    calls = None if metrics.response_latencies is None else len(metrics.response_latencies)
    counted = None if metrics.token_usages is None else len(metrics.token_usages)
    whole = counted is None or calls is None or counted >= calls
    # Where an endpoint reports no usage the sums stay at the 0 that they begin with.
    known = read if whole and (read.prompt_tokens or read.completion_tokens) else _Tokens()
    cost = metrics.accumulated_cost
    prompt, completion = known.prompt_tokens, known.completion_tokens
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
        cache_read_tokens=known.cache_read_tokens,
        reasoning_tokens=known.reasoning_tokens,
        model_calls=calls,
        counted_calls=counted,
        cost_usd=usd(metrics.total_cost_usd if cost is None else cost, path, "metrics"),
    )

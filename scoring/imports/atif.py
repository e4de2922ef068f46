"""Harbor's trajectory of one run, ATIF: what the agent did, step by step, and what each step cost.

It holds no verdict; that is in the trial's `result.json`. Prompt tokens include cached ones. Trajectories
of sub-agents may be within it: whether the totals count them, no version says.
"""

from collections.abc import Sequence
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.ids import parse_cell_id
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import between_ms
from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.imports.reading.values import Amount, sum_known, usd

_PREFIX = "ATIF-v1."
_MARKS = frozenset({"schema_version", "agent", "steps"})
_FAMILY = "harbor"
_AGENT_FOLDER = "agent"


class _Agent(FileModel):
    name: str
    version: str | None = None
    model_name: str | None = None


class _Metrics(FileModel):
    prompt_tokens: FileCount | None = None
    completion_tokens: FileCount | None = None
    cached_tokens: FileCount | None = None
    cost_usd: Amount | None = None


class _Step(FileModel):
    source: str
    timestamp: str | None = None
    metrics: _Metrics | None = None
    llm_call_count: FileCount | None = None
    is_copied_context: bool | None = None


class _Final(FileModel):
    total_prompt_tokens: FileCount | None = None
    total_completion_tokens: FileCount | None = None
    total_cached_tokens: FileCount | None = None
    total_cost_usd: Amount | None = None


class _Trajectory(FileModel):
    schema_version: str
    session_id: str | None = None
    agent: _Agent
    steps: list[_Step]
    final_metrics: _Final | None = None
    continued_trajectory_ref: str | None = None
    subagent_trajectories: list[object] | None = None


def is_atif(data: object) -> bool:
    """Return whether parsed JSON looks like such a trajectory."""
    if not is_object(data) or not data.keys() >= _MARKS:
        return False
    version = data["schema_version"]
    return isinstance(version, str) and version.startswith("ATIF-") and is_list(data["steps"])


def atif_of(data: object, source: InputFile) -> ImportedCell:
    """Return the cell of a trajectory; its task is the trial that it lies in, or its session.

    Raises:
        BadRecord: It is of an unknown version, or a field is missing, of the wrong type or out of
            range.
    """
    run = validated(_Trajectory, data, source.path)
    if not run.schema_version.startswith(_PREFIX):
        what = f"{run.schema_version[:40]!r} is not known; {_PREFIX}0 and later are"
        raise BadRecord(str(source.path), None, what, field="schema_version")
    wall_clock_ms = _wall_clock_ms(run.steps, source)
    return ImportedCell(
        cell_id=_cell_id(run, source.path),
        origin=Origin(
            form="harbor.trajectory",
            version=run.schema_version,
            name=run.session_id,
            verdicts=False,
        ),
        passed=None,
        reason="a trajectory holds no verdict: that is in the trial's result.json",
        wall_clock_ms=wall_clock_ms,
        agent_ms=wall_clock_ms,
        self_reported=_own_count(run, source),
    )


def _cell_id(run: _Trajectory, path: Path) -> str:
    """Return the id: one of ours if we wrote it, or `<job>/<trial>/agent/trajectory.json`."""
    if run.session_id is not None:
        try:
            return str(parse_cell_id(run.session_id))
        except ValueError:
            pass
    folder = path.absolute().parent
    sweep, task = None, run.session_id or path.name.removesuffix(".json")
    if folder.name == _AGENT_FOLDER and len(folder.parents) > 2:
        sweep, task = folder.parent.parent.name, folder.parent.name.partition("__")[0]
    names = FieldNames(run.agent.name, run.agent.model_name, _FAMILY, task, sweep)
    return make_cell_id(names, path)


def _wall_clock_ms(steps: Sequence[_Step], source: InputFile) -> float | None:
    """Return the time from the first step to the last, None unless both are dated."""
    mine = [step for step in steps if not step.is_copied_context]
    if not mine:
        return None
    at = f"steps.{len(steps) - 1}.timestamp"
    return between_ms(mine[0].timestamp, mine[-1].timestamp, source, at)


def _own_count(run: _Trajectory, source: InputFile) -> OwnCount | None:
    calls = [
        step
        for step in run.steps
        if step.source == "agent" and step.llm_call_count != 0 and not step.is_copied_context
    ]
    counted = [step.metrics for step in calls if step.metrics is not None]
    if run.final_metrics is None and not counted:
        return None
    total = run.final_metrics or _sums([step.metrics or _Metrics() for step in calls])
    if run.subagent_trajectories:
        what = "holds sub-agents: whether its tokens count theirs, it does not say, so they are unknown"
        source.note(what, field="subagent_trajectories")
        total = _Final(total_cost_usd=total.total_cost_usd)
    if run.continued_trajectory_ref:
        source.note("goes on in another file: this is a part", field="continued_trajectory_ref")
    prompt, completion = total.total_prompt_tokens, total.total_completion_tokens
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
        cache_read_tokens=total.total_cached_tokens,
        model_calls=sum_known([step.llm_call_count for step in calls]),
        cost_usd=usd(total.total_cost_usd, source.path, "final_metrics.total_cost_usd"),
    )


def _sums(metrics: Sequence[_Metrics]) -> _Final:
    return _Final(
        total_prompt_tokens=sum_known([each.prompt_tokens for each in metrics]),
        total_completion_tokens=sum_known([each.completion_tokens for each in metrics]),
        total_cached_tokens=sum_known([each.cached_tokens for each in metrics]),
        total_cost_usd=sum_known([each.cost_usd for each in metrics]),
    )

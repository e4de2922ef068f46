"""Harbor: the `result.json` of a trial.

Its prompt tokens include cached ones, as ours do. A trial of several steps has a count and a time
for each of them and none for the whole.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_object, read_json, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading import FieldNames, make_cell_id, sum_known, usd
from cab.scoring.timestamps import LONGEST_MS

_AGENT_FAILURES = frozenset(
    {
        *("AgentTimeoutError", "AgentSafetyRefusalError", "ContentPolicyViolationError"),
        *("ContextWindowExceededError", "ContextLengthExceededError"),
        *("OutputTokenExceededError", "OutputLengthExceededError"),
    }
)
"""Exceptions after which Harbor still counts the reward: the agent itself ended so."""
_TIMEOUT = "AgentTimeoutError"
_FAMILY = "harbor"
"""Family of a task that is in no dataset."""


class _Model(FileModel):
    name: str
    provider: str | None = None


class _Agent(FileModel):
    name: str
    version: str | None = None
    model_info: _Model | None = None


class _Usage(FileModel):
    n_input_tokens: FileCount | None = None
    n_cache_tokens: FileCount | None = None
    n_output_tokens: FileCount | None = None
    cost_usd: Annotated[float, Field(ge=0)] | None = None


class _Verifier(FileModel):
    rewards: dict[str, float | None] | None = None


class _Exception(FileModel):
    exception_type: str


class _Period(FileModel):
    started_at: str | None = None
    finished_at: str | None = None


class _Step(FileModel):
    agent_result: _Usage | None = None
    exception_info: _Exception | None = None
    agent_execution: _Period | None = None


class _AgentConfig(FileModel):
    model_name: str | None = None


class _Config(FileModel):
    agent: _AgentConfig | None = None
    job_id: str | None = None


class _Trial(FileModel):
    task_name: str
    trial_name: str
    trial_uri: str | None = None
    source: str | None = None
    config: _Config = _Config()
    agent_info: _Agent
    agent_result: _Usage | None = None
    verifier_result: _Verifier | None = None
    exception_info: _Exception | None = None
    started_at: str | None = None
    agent_execution: _Period | None = None
    step_results: list[_Step] | None = None

    @property
    def steps(self) -> list[_Step]:
        """The steps; a trial without any is one."""
        if self.step_results and self.agent_result is None:
            return self.step_results
        whole = {"agent_result": self.agent_result, "agent_execution": self.agent_execution}
        return [_Step.model_validate(whole)]

    @property
    def exceptions(self) -> list[str]:
        """Names of what went wrong, of the trial first."""
        steps = self.step_results or []
        found = [self.exception_info, *(step.exception_info for step in steps)]
        return [each.exception_type for each in found if each is not None]


def is_harbor_trial(data: object) -> bool:
    """Return whether parsed JSON looks like the result of a trial."""
    return is_object(data) and "trial_name" in data and "task_name" in data


def is_harbor_job(data: object) -> bool:
    """Return whether parsed JSON looks like the result of a whole job, which is not a cell."""
    return is_object(data) and "n_total_trials" in data and "trial_name" not in data


def read_harbor(path: Path) -> ImportedCell:
    """Return the cell of a trial's `result.json`.

    Raises:
        BadRecord: It is not a trial, or a field is missing, of the wrong type or out of range.
    """
    return harbor_of(read_json(path), path)


def harbor_of(data: object, path: Path) -> ImportedCell:
    """Return the cell of a trial that is parsed already; errors as for `read_harbor`."""
    if is_harbor_job(data):
        raise BadRecord(str(path), None, "is the result of a whole job: name its trials' folders")
    trial = validated(_Trial, data, path)
    passed, partial, reason = _verdict(trial)
    agent_ms = sum_known([_duration_ms(step.agent_execution, path) for step in trial.steps])
    return ImportedCell(
        cell_id=_cell_id(trial, path),
        origin=Origin(form="harbor.trial", version=None, name=trial.trial_name),
        passed=passed,
        partial_score=partial,
        reason=reason,
        stopped=_TIMEOUT in trial.exceptions,
        wall_clock_ms=_wall_clock_ms(trial, path),
        agent_ms=agent_ms,
        self_reported=_own_count([step.agent_result for step in trial.steps], path),
    )


def _cell_id(trial: _Trial, path: Path) -> str:
    dataset, _, task = trial.task_name.rpartition("/")
    info = trial.agent_info.model_info
    of_config = None if trial.config.agent is None else trial.config.agent.model_name
    named = None if info is None else "/".join(part for part in (info.provider, info.name) if part)
    names = FieldNames(
        tui=trial.agent_info.name,
        model=named or of_config,
        family=trial.source or dataset or _FAMILY,
        task=task,
        sweep=_job(trial),
    )
    return make_cell_id(names, path)


def _job(trial: _Trial) -> str | None:
    """Return the name of the job: the folder around the trial's own."""
    try:
        place = urlsplit(trial.trial_uri or "")
    except ValueError:
        return trial.config.job_id
    parts = [unquote(part) for part in place.path.split("/") if part]
    if place.scheme == "file" and len(parts) > 1:
        return parts[-2]
    return trial.config.job_id


def _verdict(trial: _Trial) -> tuple[Literal[0, 1] | None, float | None, str]:
    """Return pass, share of the reward, and what the file says."""
    others = [name for name in trial.exceptions if name not in _AGENT_FAILURES]
    reward, reason = _reward(
        None if trial.verifier_result is None else trial.verifier_result.rewards
    )
    reason = "; ".join([*trial.exceptions, reason])
    if others:
        return None, None, f"{reason}; Harbor does not count a reward after {others[0]}"
    if reward is None or not 0 <= reward <= 1:
        return None, None, reason
    return (1 if reward == 1 else 0), reward, reason


def _reward(rewards: Mapping[str, float | None] | None) -> tuple[float | None, str]:
    """Return the reward that is the verdict: the only one, or the one of that name."""
    if not rewards:
        return None, "no reward"
    name = "reward" if "reward" in rewards or len(rewards) > 1 else next(iter(rewards))
    if name not in rewards:
        return None, f"several rewards and none named reward: {', '.join(sorted(rewards))}"
    reward = rewards[name]
    return reward, f"{name} {'none' if reward is None else f'{reward:g}'}"


def _own_count(steps: Sequence[_Usage | None], path: Path) -> OwnCount | None:
    """Return the sums over the steps; one step without a count makes a sum unknown."""
    if all(step is None for step in steps):
        return None
    known = [step or _Usage() for step in steps]
    prompt = sum_known([step.n_input_tokens for step in known])
    completion = sum_known([step.n_output_tokens for step in known])
    cost = sum_known([step.cost_usd for step in known])
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
        cache_read_tokens=sum_known([step.n_cache_tokens for step in known]),
        cost_usd=usd(cost, path, "agent_result.cost_usd"),
    )


def _wall_clock_ms(trial: _Trial, path: Path) -> float | None:
    """Return the time from the trial's start to the end of its last step's agent."""
    last = trial.steps[-1].agent_execution
    end = None if last is None else last.finished_at
    whole = _Period(started_at=trial.started_at, finished_at=end)
    return _duration_ms(whole, path)


def _duration_ms(period: _Period | None, path: Path) -> float | None:
    if period is None or period.started_at is None or period.finished_at is None:
        return None
    start, end = _instant(period.started_at, path), _instant(period.finished_at, path)
    if (start.utcoffset() is None) is not (end.utcoffset() is None):
        raise BadRecord(str(path), None, "one instant has a time zone and the other has none")
    duration_ms = (end - start) / timedelta(milliseconds=1)
    if not 0 <= duration_ms <= LONGEST_MS:
        what = f"{period.finished_at} is before {period.started_at}, or decades after it"
        raise BadRecord(str(path), None, what, field="finished_at")
    return duration_ms


def _instant(text: str, path: Path) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRecord(str(path), None, f"{text!r} is not an instant") from error

"""Harbor: the `result.json` of a trial.

Its prompt tokens include cached ones, as ours do. A trial of several steps has a count and a time
for each of them and none for the whole.

Which rewards count has changed: up to 0.24 every one, in 0.25 none after an exception that is not the
agent's own end, and since 0.26 the file says so itself. Before, only the job's `lock.json` names the
version.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_object, read_json, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import between_ms
from cab.scoring.imports.reading.files import load
from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.imports.reading.values import Amount, inner, sum_known, usd

LOCK_FILE: Final = "lock.json"
"""What a job was run with; it lies beside the folders of the trials."""

_VALID_IN_0_25 = frozenset(
    {
        *("AgentTimeoutError", "AgentSafetyRefusalError", "ContentPolicyViolationError"),
        *("ContextWindowExceededError", "ContextLengthExceededError"),
        *("OutputTokenExceededError", "OutputLengthExceededError"),
    }
)
"""Exceptions after which Harbor 0.25 counts the reward: the agent itself ended so."""
_ONLY_0_25 = re.compile(r"0\.25(\..*)?")
_TIMEOUT = "AgentTimeoutError"
_FAMILY = "harbor"
"""Family of a task that is in no dataset."""
_TRIAL_MARKS = frozenset({"task_name", "trial_name", "agent_info"})
_JOB_MARKS = frozenset({"n_total_trials", "stats"})


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
    cost_usd: Amount | None = None


class _Verifier(FileModel):
    rewards: dict[str, float | None] | None = None


class _Policy(FileModel):
    has_valid_reward: bool | None = None


class _Exception(FileModel):
    exception_type: str
    policy: _Policy | None = None


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
    id: str | None = None
    task_name: str
    trial_name: str
    trial_uri: str | None = None
    source: str | None = None
    config: _Config = _Config()
    agent_info: _Agent
    agent_result: _Usage | None = None
    verifier_result: _Verifier | None = None
    exception_info: _Exception | None = None
    reward_valid: bool | None = None
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
    def exceptions(self) -> list[_Exception]:
        """What went wrong, of the trial first."""
        steps = self.step_results or []
        found = [self.exception_info, *(step.exception_info for step in steps)]
        return [each for each in found if each is not None]


def is_harbor_trial(data: object) -> bool:
    """Return whether parsed JSON looks like the result of a trial."""
    return is_object(data) and data.keys() >= _TRIAL_MARKS


def is_harbor_job(data: object) -> bool:
    """Return whether parsed JSON looks like the result of a whole job, which is not a cell."""
    return is_object(data) and data.keys() >= _JOB_MARKS and "trial_name" not in data


def trials_expected(data: object) -> int | None:
    """Return how many trials the result of a job says that it has; None if it is not one."""
    if not is_object(data) or not is_harbor_job(data):
        return None
    number = data.get("n_total_trials")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def read_harbor(path: Path) -> ImportedCell:
    """Return the cell of a trial's `result.json`.

    Raises:
        BadRecord: It is not a trial, or a field is missing, of the wrong type or out of range.
    """
    source = InputFile(path)
    return source.one(lambda _: harbor_of(load(source), source))


def harbor_of(data: object, source: InputFile) -> ImportedCell:
    """Return the cell of a trial that is parsed already; errors as for `read_harbor`."""
    if is_harbor_job(data):
        what = "is the result of a whole Harbor job: name its folder, or those of its trials"
        raise BadRecord(str(source.path), None, what)
    trial = validated(_Trial, data, source.path)
    version = _version(trial, source.path)
    passed, partial, reason = _verdict(trial, version)
    times = [_duration_ms(step.agent_execution, source) for step in trial.steps]
    return ImportedCell(
        cell_id=_cell_id(trial, source.path),
        origin=Origin(form="harbor.trial", version=version, name=trial.trial_name, id=trial.id),
        passed=passed,
        partial_score=partial,
        reason=reason,
        stopped=_TIMEOUT in {each.exception_type for each in trial.exceptions},
        wall_clock_ms=_wall_clock_ms(trial, source),
        agent_ms=sum_known(times),
        self_reported=_own_count([step.agent_result for step in trial.steps], source.path),
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


def _version(trial: _Trial, path: Path) -> str | None:
    """Return Harbor's version where the verdict hangs on it; None if nothing names it."""
    if trial.reward_valid is not None or not trial.exceptions:
        return None
    try:
        lock = read_json(path.absolute().parent.parent / LOCK_FILE)
    except BadRecord:
        return None
    version = inner(lock, "harbor", "version") if is_object(lock) else None
    return version if isinstance(version, str) else None


def _verdict(trial: _Trial, version: str | None) -> tuple[Literal[0, 1] | None, float | None, str]:
    """Return pass, share of the reward, and what the file says."""
    reward, reason = _reward(
        None if trial.verifier_result is None else trial.verifier_result.rewards
    )
    reason = "; ".join([*(each.exception_type for each in trial.exceptions), reason])
    against = _not_counted(trial, version)
    if against is not None:
        return None, None, f"{reason}; {against}"
    if reward is None or not 0 <= reward <= 1:
        return None, None, reason
    return (1 if reward == 1 else 0), reward, reason


def _not_counted(trial: _Trial, version: str | None) -> str | None:
    """Return why Harbor does not count the reward, None if it does."""
    if trial.reward_valid is not None:
        return None if trial.reward_valid else "Harbor says that the reward is not valid"
    for each in trial.exceptions:
        said = None if each.policy is None else each.policy.has_valid_reward
        if said is None and version is not None and _ONLY_0_25.fullmatch(version):
            said = each.exception_type in _VALID_IN_0_25
        if said is False:
            return f"Harbor does not count a reward after {each.exception_type}"
    return None


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


def _wall_clock_ms(trial: _Trial, source: InputFile) -> float | None:
    """Return the time from the trial's start to the end of its last step's agent."""
    last = trial.steps[-1].agent_execution
    end = None if last is None else last.finished_at
    return _duration_ms(_Period(started_at=trial.started_at, finished_at=end), source)


def _duration_ms(period: _Period | None, source: InputFile) -> float | None:
    if period is None:
        return None
    return between_ms(period.started_at, period.finished_at, source, "agent_execution.finished_at")

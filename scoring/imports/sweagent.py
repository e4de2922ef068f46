"""SWE-agent: the trajectory of one run, `*.traj`.

Both generations: before 1.0, and since then with `replay_config`, which names the model. It says how the
agent ended and not whether it was right, and no step is dated. The tokens are litellm's own count of the
messages, not the endpoint's; 0 tokens of calls that were made are what a model of unknown price leaves.
"""

from pathlib import Path

import orjson

from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id
from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.imports.reading.values import Amount, inner_text, sum_known, usd

_TUI = "swe-agent"
_SUFFIX = ".traj"
_MARKS = frozenset({"info", "trajectory"})
_WITH_ONE = frozenset({"history", "environment", "replay_config"})
_TIME_LIMIT = "exit_total_execution_time"


class _Stats(FileModel):
    instance_cost: Amount | None = None
    tokens_sent: FileCount | None = None
    tokens_received: FileCount | None = None
    api_calls: FileCount | None = None


class _Info(FileModel):
    exit_status: str | None = None
    submission: str | None = None
    model_stats: _Stats | None = None
    swe_agent_version: str | None = None


class _Run(FileModel):
    info: _Info
    trajectory: list[dict[str, object]]
    replay_config: str | dict[str, object] | None = None


def is_swe_agent_trajectory(data: object) -> bool:
    """Return whether parsed JSON looks like a trajectory of SWE-agent."""
    return (
        is_object(data)
        and data.keys() >= _MARKS
        and not _WITH_ONE.isdisjoint(data)
        and is_object(data["info"])
        and is_list(data["trajectory"])
        and "messages" not in data
    )


def swe_agent_of(data: object, source: InputFile) -> ImportedCell:
    """Return the cell of a trajectory, which has the name of its file.

    Raises:
        BadRecord: A field is missing, of the wrong type or out of range.
    """
    run = validated(_Run, data, source.path)
    name = source.path.name.removesuffix(".gz").removesuffix(".json").removesuffix(_SUFFIX)
    ended = run.info.exit_status or "none"
    patch = "a patch" if run.info.submission else "no patch"
    names = FieldNames(_TUI, _model(run), _TUI, name, _sweep(source.path))
    return ImportedCell(
        cell_id=make_cell_id(names, source.path),
        origin=Origin(
            form="swe-agent.trajectory",
            version=run.info.swe_agent_version,
            name=name,
            verdicts=False,
        ),
        passed=None,
        reason=f"exit status {ended}, {patch}; a trajectory holds no verdict",
        stopped=_TIME_LIMIT in ended,
        self_reported=_own_count(run, source),
    )


def _model(run: _Run) -> str | None:
    """Return the model that the stored configuration names; it is JSON within JSON."""
    config: object = run.replay_config
    if isinstance(config, str):
        try:
            config = orjson.loads(config)
        except orjson.JSONDecodeError:
            return None
    return inner_text(config, "agent", "model", "name") if is_object(config) else None


def _sweep(path: Path) -> str | None:
    """Return the folder of the run: `<run>/<instance>/<instance>.traj`, or directly `<run>/`."""
    folder = path.absolute().parent
    inside = path.name.startswith(f"{folder.name}.")
    return (folder.parent.name if inside else folder.name) or None


def _own_count(run: _Run, source: InputFile) -> OwnCount | None:
    stats = run.info.model_stats
    if stats is None:
        return None
    sent, received = stats.tokens_sent, stats.tokens_received
    if not sent and not received and (stats.api_calls or run.trajectory):
        sent = received = None
    return OwnCount(
        prompt_tokens=sent,
        completion_tokens=received,
        total_tokens=sum_known([sent, received]),
        model_calls=stats.api_calls,
        cost_usd=usd(stats.instance_cost, source.path, "info.model_stats.instance_cost"),
    )

"""Cells of one agent and one model as a log of Inspect: a zip of JSON, one file per sample.

In the words of Inspect a sweep is the task, the agent is the solver, and a CAB task is a sample. The
log is written sample by sample; only summaries and values stay in memory.
"""

import zipfile
from typing import IO, Any, Final, NamedTuple

import orjson

from cab.scoring.errors import BadRecord
from cab.scoring.exports.inspect.sample import digest, price_sources, summary
from cab.scoring.exports.inspect.scores import units
from cab.scoring.exports.inspect.usage import total_usage
from cab.scoring.exports.source import Source

LOG_VERSION: Final = 2
"""Of the format."""

# Zip files hold a time of each member; with a fixed one the same log gives the same bytes.
_EARLIEST = (1980, 1, 1, 0, 0, 0)


class Group(NamedTuple):
    """What the cells of one log have in common."""

    sweep: str
    tui: str
    model: str


class InspectLog:
    """A log that is being written; it is whole after `finish`, and must be closed in any case.

    Args:
        handle: A file opened for writing.
        group: What all cells that are added must have in common.
    """

    def __init__(self, handle: IO[bytes], group: Group) -> None:
        self._zip = zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED)
        self._group = group
        self._summaries: list[bytes] = []
        self._values: dict[str, dict[str, list[float]]] = {name: {} for name in units()}
        self._epochs: dict[str, set[int]] = {}
        self._usage: list[dict[str, Any]] = []
        self._versions: set[str] = set()
        self._price_sources: set[str] = set()
        self._started_at: list[str] = []
        self._ended_at: list[str] = []

    def add(self, source: Source, made: dict[str, Any]) -> None:
        """Add a cell.

        Args:
            source: The cell.
            made: Its sample, as `sample` gives it.

        Raises:
            BadRecord: This task has this run already.
        """
        name, epoch = str(made["id"]), int(made["epoch"])
        if epoch in self._epochs.setdefault(name, set()):
            raise BadRecord(str(source.path), None, f"{source.cell_id} is in the log already")
        self._write(f"samples/{name}_epoch_{epoch}.json", orjson.dumps(made))
        self._epochs[name].add(epoch)
        self._summaries.append(orjson.dumps(summary(made)))
        for scorer, score in made["scores"].items():
            self._values[scorer].setdefault(name, []).append(score["value"])
        self._usage.append(made["model_usage"].get(self._group.model, {}))
        self._versions.add(source.cell.identity.cab_version)
        self._price_sources.update(price_sources(source.cell))
        self._started_at.append(source.cell.timing.started_at)
        self._ended_at.append(source.cell.timing.ended_at)

    def finish(self) -> None:
        """Write what the samples come to; at least one cell must have been added."""
        start = {"version": LOG_VERSION, "eval": self._eval(), "plan": self._plan()}
        summaries = b"[" + b",".join(self._summaries) + b"]"
        self._write("_journal/start.json", orjson.dumps(start))
        self._write("_journal/summaries/1.json", summaries)
        self._write("summaries.json", summaries)
        self._write("reductions.json", orjson.dumps(self._reductions()))
        rest = {"status": self._status(), "results": self._results(), "stats": self._stats()}
        self._write("header.json", orjson.dumps({**start, **rest}))
        self.close()

    def close(self) -> None:
        """End the file, be it whole or not; its handle stays open."""
        self._zip.close()

    def _write(self, name: str, data: bytes) -> None:
        member = zipfile.ZipInfo(name, _EARLIEST)
        member.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(member, data)

    def _eval(self) -> dict[str, Any]:
        sweep, tui, model = self._group
        ids = list(self._epochs)
        return {
            "eval_id": digest(*self._group, "eval"),
            "run_id": digest(*self._group, "run"),
            "created": min(self._started_at),
            "task": sweep,
            "task_id": digest(*self._group),
            "task_version": 0,
            "task_display_name": sweep,
            "solver": tui,
            "dataset": {"name": sweep, "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": model,
            "config": {"epochs": self._runs()},
            "metadata": {
                "cab": {
                    "made_by": "cab export inspect",
                    "versions": sorted(self._versions),
                    "price_sources": sorted(self._price_sources),
                }
            },
            "scorers": [
                {"name": name, "options": {}, "metrics": [_MEAN], "metadata": {"unit": unit}}
                for name, unit in units().items()
            ],
        }

    def _runs(self) -> int:
        return max(epoch for epochs in self._epochs.values() for epoch in epochs)

    def _status(self) -> str:
        # A log of success is read by asking for each epoch of each sample.
        whole = all(len(epochs) == self._runs() for epochs in self._epochs.values())
        return "success" if whole else "cancelled"

    def _plan(self) -> dict[str, Any]:
        step: dict[str, Any] = {"solver": self._group.tui, "params": {}, "params_passed": {}}
        return {"name": "plan", "steps": [step], "config": {}}

    def _results(self) -> dict[str, Any]:
        cells = len(self._summaries)
        scores = [self._score(name) for name in self._values]
        return {"total_samples": cells, "completed_samples": cells, "scores": scores}

    def _score(self, name: str) -> dict[str, Any]:
        means = list(self._means(name).values())
        metrics: dict[str, Any] = {}
        if means:
            metrics["mean"] = {"name": "mean", "value": _mean(means), "params": {}}
        return {
            "name": name,
            "scorer": name,
            "scored_samples": len(means),
            "unscored_samples": len(self._epochs) - len(means),
            "params": {},
            "metrics": metrics,
        }

    def _reductions(self) -> list[dict[str, Any]]:
        return [
            {
                "scorer": name,
                "samples": [
                    {"value": value, "sample_id": task, "history": []}
                    for task, value in self._means(name).items()
                ],
            }
            for name in self._values
        ]

    def _means(self, name: str) -> dict[str, float]:
        """Return the mean over the epochs of each sample that has a score."""
        return {task: _mean(values) for task, values in self._values[name].items()}

    def _stats(self) -> dict[str, Any]:
        total = total_usage(self._usage)
        return {
            "started_at": min(self._started_at),
            "completed_at": max(self._ended_at),
            "model_usage": {self._group.model: total} if total else {},
            "role_usage": {},
        }


_MEAN: Final[dict[str, Any]] = {"name": "inspect_ai/mean", "options": {}}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)

"""The matrix of a sweep: every agent, model, task and run as a slot, and what is wrong with them."""

import fnmatch
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cab.adapters.agents.base import Adapter, AgentFacts
from cab.adapters.agents.plugins import SUFFIX, Plugin, load_plugin
from cab.adapters.agents.registry import load_adapter
from cab.adapters.errors import AdapterError, UnknownAdapter, nearest
from cab.adapters.install.install import find_installed
from cab.adapters.runs.spec import check_image_of
from cab.adapters.sandboxes import docker
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.adapters.tasks.loader import COMPILED, Task, list_tasks, load_task
from cab.adapters.tasks.needs import missing_needs
from cab.scoring.cells.cell import RequestedResources
from cab.scoring.errors import BadCellId
from cab.scoring.ids import CellId

PLUGINS = "plugins"
"""Folder beside a sweep's file in which plugins have bare names."""

_PATH_STARTS = (".", "~", "/")
_GLOB_CHARS = "*?["


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the matrix: one run that the sweep needs. A second attempt fills the same slot."""

    cell: CellId
    """Cell of the first attempt; names the slot."""
    tui: str
    """The agent, as the sweep file names it."""
    task: str
    """The task: an id, or an absolute path."""

    @property
    def id(self) -> str:
        """Name of the slot."""
        return str(self.cell)


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a sweep file comes to on this machine."""

    slots: tuple[Slot, ...]
    """Those that can be run, in the order in which they are started."""
    left_out: dict[str, str]
    """Slot -> why it cannot be run here: a program that its task needs is missing."""
    agents: tuple[AgentFacts, ...]
    plugins: tuple[str, ...]
    """Absolute paths of the plugin files."""
    fingerprints: dict[str, str]
    """Agents with their versions, tasks and plugins with a digest of their files: if one changes,
    cells are not comparable."""
    problems: tuple[str, ...]
    """What must be fixed first, one line each."""
    in_containers: bool = False
    """Whether agents are in their images, and need not be installed."""
    by_name: Mapping[str, AgentFacts] = field(default_factory=dict[str, AgentFacts])
    """The agents by the names that the sweep file gives them."""
    tasks: tuple[Task, ...] = ()

    @property
    def missing(self) -> tuple[AgentFacts, ...]:
        """The agents that are not installed."""
        if self.in_containers:
            return ()
        return tuple(facts for facts in self.agents if find_installed(facts) is None)


def make_matrix(sweep: SweepFile, base: Path) -> Matrix:
    """Return the matrix of a sweep; nothing is written and nothing is started.

    Args:
        sweep: The sweep.
        base: Folder that its paths start from.
    """
    problems: list[str] = []
    agents = _agents(sweep.agents, problems)
    tasks = _tasks(sweep.tasks, base, problems)
    plugins = _plugins(sweep.plugins, base, problems)
    slots: list[Slot] = []
    left_out: dict[str, str] = {}
    needs = {name: _missing_needs(sweep, task) for name, task in tasks.items()}
    # Runs are the outer loop: a sweep that ends early has run everything about equally often.
    for number in range(1, sweep.runs + 1):
        for name, task in tasks.items():
            missing = needs[name]
            for model in sweep.models:
                for tui, adapter in agents.items():
                    try:
                        cell = _cell(sweep.name, adapter.facts.name, model, task, number)
                    except BadCellId as error:
                        problems.append(str(error))
                        continue
                    if missing:
                        left_out[str(cell)] = missing[0]
                    else:
                        slots.append(Slot(cell, tui, name))
    facts = tuple(adapter.facts for adapter in agents.values())
    return Matrix(
        slots=tuple(slots),
        left_out=left_out,
        agents=facts,
        plugins=tuple(plugins),
        fingerprints={
            **{f"agent {each.name}": each.version for each in facts},
            **{f"task {task.id}": _digest(task.root) for task in tasks.values()},
            **{f"plugin {each.name}": _sha256(each) for each in plugins.values()},
        },
        problems=tuple(dict.fromkeys(problems)),
        in_containers=sweep.sandbox == docker.NAME,
        by_name={name: adapter.facts for name, adapter in agents.items()},
        tasks=tuple(tasks.values()),
    )


def _missing_needs(sweep: SweepFile, task: Task) -> list[str]:
    """Return what the checks of a task lack on this machine; in a container only the image counts."""
    job = sweep.container.job("", RequestedResources())
    in_container = sweep.sandbox == docker.NAME and check_image_of(task, job.wanted()) is not None
    return [] if in_container else missing_needs(task)


def not_installed(facts: Iterable[AgentFacts]) -> list[str]:
    """Return one line for each agent that must be installed first."""
    return [
        f"{each.name} {each.version} is not installed; run: cab adapters install {each.name}, "
        "or give --install"
        for each in facts
    ]


def choose(ids: Iterable[str], only: Sequence[str], exclude: Sequence[str]) -> set[str]:
    """Return the ids that match a pattern of `only`, if there are any, and no pattern of `exclude`.

    Raises:
        AdapterError: A pattern matches nothing.
    """
    known = list(ids)
    for option, patterns in (("--only", only), ("--exclude", exclude)):
        for pattern in patterns:
            if not any(_matches(each, pattern) for each in known):
                raise AdapterError(f"{option} {pattern!r} matches no cell; --dry-run lists them")
    return {
        each
        for each in known
        if (not only or any(_matches(each, pattern) for pattern in only))
        and not any(_matches(each, pattern) for pattern in exclude)
    }


def _matches(cell_id: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(cell_id, pattern)


def _cell(sweep: str, tui: str, model: str, task: Task, number: int) -> CellId:
    family, _, name = task.id.partition("/")
    return CellId(sweep, tui, model, family, name, number)


def _agents(names: Iterable[str], problems: list[str]) -> dict[str, Adapter]:
    found: dict[str, Adapter] = {}
    for name in names:
        try:
            adapter = load_adapter(name)
        except UnknownAdapter as error:
            problems.append(f"agents: {error}")
            continue
        other = next((n for n, a in found.items() if a.facts.name == adapter.facts.name), None)
        if other is not None:
            problems.append(
                f"agents: {name!r} and {other!r} are the same agent, {adapter.facts.name!r}"
            )
            continue
        found[name] = adapter
    return found


def _plugins(names: Iterable[str], base: Path, problems: list[str]) -> dict[str, Plugin]:
    found: dict[str, Plugin] = {}
    for name in names:
        is_path = name.endswith(SUFFIX) or "/" in name
        place = (base / name if is_path else base / PLUGINS / f"{name}{SUFFIX}").resolve()
        try:
            found[str(place)] = load_plugin(str(place), base)
        except AdapterError as error:
            problems.append(f"plugins: {error}")
    return found


def _sha256(plugin: Plugin) -> str:
    return f"sha256:{hashlib.sha256(plugin.model_dump_json().encode()).hexdigest()}"


def _digest(folder: Path) -> str:
    """Return the digest of a folder's files, their names included."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and COMPILED not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(
                f"{path.relative_to(folder)}\0{content}\n".encode("utf-8", "surrogateescape")
            )
    return f"sha256:{digest.hexdigest()}"


def _tasks(patterns: Iterable[str], base: Path, problems: list[str]) -> dict[str, Task]:
    """Return the tasks by the name under which a cell finds them."""
    bundled = {task.id: task for task in list_tasks()}
    found: dict[str, Task] = {}
    names: dict[str, str] = {}
    for pattern in patterns:
        for name, task in _matching(pattern, base, bundled, problems).items():
            other = names.setdefault(task.id, name)
            if other != name:
                problems.append(f"tasks: {name} and {other} are both {task.id!r}")
            else:
                found[name] = task
    return found


def _matching(
    pattern: str, base: Path, bundled: dict[str, Task], problems: list[str]
) -> dict[str, Task]:
    if pattern.startswith(_PATH_STARTS):
        place = str((base / Path(pattern).expanduser()).resolve())
        try:
            return {place: load_task(place)}
        except AdapterError as error:
            problems.append(f"tasks: {error}")
            return {}
    chosen = {name: task for name, task in bundled.items() if _matches(name, pattern)}
    if not chosen:
        problems.append(_unknown_task(pattern, bundled))
    return chosen


def _unknown_task(pattern: str, known: Iterable[str]) -> str:
    if any(char in pattern for char in _GLOB_CHARS):
        return f"tasks: {pattern!r} matches no bundled task; cab tasks list shows all"
    near = nearest(pattern, known)
    hint = f"did you mean {near!r}?" if near else "give ./folder for one of your own;"
    return f"tasks: no task {pattern!r}; {hint} (cab tasks list shows all)"

"""The doctor's tables: how each agent is metered, and how it behaves when something goes wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cab.adapters.doctor.diagnosis import (
    FAULTLESS,
    NORMAL,
    Diagnosis,
    error_of_own,
    listed,
    own_agrees,
)
from cab.adapters.doctor.evidence import Evidence
from cab.adapters.doctor.page import UNKNOWN, merge_rows
from cab.adapters.doctor.probes import PROBES
from cab.scoring.printable import counted

METERED = (
    "agent", "version", "examined", "endpoint", "requests: served = ledger", "own count",
    "scratch files", "other hosts asked for", "holds",
)  # fmt: skip
"""Columns of the first table."""
BEHAVIOUR = ("agent", *(probe.title for probe in PROBES.values() if probe.name not in FAULTLESS))
"""Columns of the second table."""
HEADING = ("agent", "version", "examined", "holds")
"""Columns that are in the heading of a block of lines."""

_TENTHS_BELOW_S = 10.0

Row = dict[str, str]
"""Column -> cell."""


def metered_row(found: Diagnosis) -> Row:
    """Return the row of the first table."""
    shown = found.evidence.get(NORMAL)
    seen = [None if shown is None else column(shown) for column in (_counted, _scratch, _hosts)]
    counted, scratch, hosts = (UNKNOWN if cell is None else cell for cell in seen)
    cells = (
        *(found.agent, found.version, found.date, found.dialect),
        *(counted, _own_counts(found.evidence), scratch, hosts),
        verdict(found),
    )
    return dict(zip(METERED, cells, strict=True))


def behaviour_row(found: Diagnosis) -> Row:
    """Return the row of the second table: a cell for each probe that was run or could not be."""
    cells = {"agent": found.agent}
    for name in (*found.evidence, *found.broken):
        if name not in FAULTLESS:
            shown = found.evidence.get(name)
            cells[PROBES[name].title] = "could not be run" if shown is None else behaviour(shown)
    return cells


def with_rows(page: str, found: Sequence[Diagnosis]) -> str:
    """Return a page with the new rows in its tables; rows that were not examined stay.

    Raises:
        ValueError: The page lacks a table.
    """
    metered = [row for each in found if (row := _metered_cells(each)) is not None]
    page = merge_rows(page, "metered", METERED, metered)
    return merge_rows(page, "behaviour", BEHAVIOUR, [behaviour_row(each) for each in found])


def _metered_cells(found: Diagnosis) -> Row | None:
    """Return the cells for the first table; without the normal run only a verdict with faults."""
    row = metered_row(found)
    if NORMAL in found.evidence or NORMAL in found.broken:
        return row
    return {column: row[column] for column in HEADING} if found.faults else None


def verdict(found: Diagnosis) -> str:
    """Return whether the agent is metered correctly, and how much of it was examined."""
    if found.faults:
        return "no: " + "; ".join(found.faults)
    words = ["yes"]
    if set(found.evidence) != set(PROBES):
        words.append(f"under {', '.join(found.evidence)} only")
    if found.not_examined:
        words.append(f"not examined: {listed(found.not_examined)}")
    return "; ".join(words)


def behaviour(shown: Evidence) -> str:
    """Return in a few words what an agent did when something went wrong."""
    words = [counted(len(shown.attempts), "request", "requests")]
    if shown.failed and shown.pause_ms is not None:
        words.append(f"waits {_seconds(shown.pause_ms)}")
    if PROBES[shown.probe].fails and not shown.failed:
        words.append("none of them fails")
    words.append(_ending(shown))
    if shown.left_running:
        words.append(f"leaves {counted(shown.left_running, 'process', 'processes')} running")
    return ", ".join(words)


def _ending(shown: Evidence) -> str:
    after = _seconds(shown.duration_ms)
    if shown.timed_out:
        return f"still running after {after}"
    if shown.passed:
        return "goes on and solves the task" if shown.failed else "solves the task"
    return f"gives up after {after}, exit {shown.exit_code}"


def _seconds(ms: float) -> str:
    seconds = ms / 1000
    return f"{seconds:.1f} s" if seconds < _TENTHS_BELOW_S else f"{seconds:.0f} s"


def _counted(shown: Evidence) -> str:
    parts = (shown.prompt_tokens, shown.completion_tokens)
    tokens = " + ".join(UNKNOWN if part is None else str(part) for part in parts)
    return f"{len(shown.attempts)}, {tokens} tokens: {'differs' if shown.differences else 'equal'}"


def own_count(shown: Evidence) -> str:
    """Return how the agent's own count compares with the meter's."""
    if shown.unreadable:
        return "unreadable"
    if shown.own is None:
        return "none"
    if own_agrees(shown):
        return "equal"
    error = error_of_own(shown)
    if error is None:
        return "incomplete"
    return "equal in total only" if error == 0 else f"{error:+.1%}"


def _own_counts(evidence: Mapping[str, Evidence]) -> str:
    """Return how the agent's own counts compare, by task where they differ."""
    cells = {name: own_count(evidence[name]) for name in FAULTLESS if name in evidence}
    if len(set(cells.values())) <= 1:
        return next(iter(cells.values()), UNKNOWN)
    return ", ".join(f"{cell} ({PROBES[name].title})" for name, cell in cells.items())


def _scratch(shown: Evidence) -> str:
    words = [f"undeclared: {listed(shown.undeclared)}" if shown.undeclared else "declared"]
    if shown.elsewhere:
        words.append(f"outside its folders: {listed(shown.elsewhere)}")
    if shown.elsewhere is None:
        words.append("outside its folders: not known")
    if shown.left_running:
        words.append(f"leaves {counted(shown.left_running, 'process', 'processes')} running")
    return "; ".join(words)


def _hosts(shown: Evidence) -> str:
    if not shown.isolated:
        return "not known"
    # The machine may look up each name with its search domain too.
    times: Counter[str] = Counter()
    for name, number in shown.hosts.items():
        times[shown.indexes.get(name, name)] += number
    names = [f"{name} ({number})" if number > 1 else name for name, number in times.items()]
    return ", ".join(sorted(names)) or "none"

"""What the probes of one agent prove together: what holds, what does not, and how it behaves."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cab.adapters.doctor.evidence import Evidence
from cab.scoring.printable import counted

NORMAL = "normal"
"""The probe in which nothing goes wrong, on a small task."""
SEVERAL_FILES = "several_files"
"""The same on a task with several files."""
LONG_TASK = "long_task"
"""The same on a task with a long answer: what an agent calls only then, as to sum up, is seen only there."""
FAULTLESS = (NORMAL, SEVERAL_FILES, LONG_TASK)
"""The probes on whole tasks in which nothing goes wrong: what an adapter says of an own count holds in all."""

_SHOWN_FILES = 3


class Diagnosis(NamedTuple):
    """Everything that was found out about an agent."""

    agent: str
    """Its name; with the dialect in brackets where it was examined in several."""
    version: str
    dialect: str
    """The endpoint that it was examined with."""
    date: str
    """Day of the examination, `YYYY-MM-DD`."""
    evidence: Mapping[str, Evidence]
    """Name of the probe -> what it showed."""
    broken: Mapping[str, str]
    """Name of the probe -> why it could not be run."""

    @property
    def faults(self) -> list[str]:
        """What is wrong, a sentence each; empty if the agent is metered correctly."""
        found = [f"{name}: could not be run: {why}" for name, why in self.broken.items()]
        for name, shown in self.evidence.items():
            found += [f"{name}: {what}" for what in _metering_faults(shown)]
            if name in FAULTLESS:
                found += [f"{name}: {what}" for what in _normal_faults(shown)]
        return found

    @property
    def not_examined(self) -> list[str]:
        """What could not be examined, each once."""
        found: list[str] = []
        for shown in self.evidence.values():
            if not shown.isolated:
                found += ["other hosts", "files outside its folders"]
            found += shown.not_covered
        return list(dict.fromkeys(found))

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON."""
        return {
            "agent": self.agent,
            "version": self.version,
            "dialect": self.dialect,
            "date": self.date,
            "holds": not self.faults,
            "faults": self.faults,
            "not_examined": self.not_examined,
            "evidence": {
                name: shown.model_dump(mode="json") for name, shown in self.evidence.items()
            },
            "broken": dict(self.broken),
        }


def _metering_faults(shown: Evidence) -> list[str]:
    """Return the faults that count under every probe."""
    found = list(shown.differences)
    if not shown.attempts:
        found.append("no model call reached the proxy")
    if shown.past_the_proxy:
        found.append(f"{counted(shown.past_the_proxy, 'request', 'requests')} bypassed the proxy")
    if shown.other_keys:
        wrong = counted(shown.other_keys, "request", "requests")
        found.append(f"{wrong} used another key than the cell's")
    found += [f"the {leak.secret} is in {leak.place}" for leak in shown.leaks]
    others = sorted({each.model or "none" for each in shown.attempts} - {shown.model})
    if others:
        found.append(f"asked for another model: {', '.join(others)}")
    dialects = sorted({each.endpoint for each in shown.attempts} - {shown.dialect})
    if dialects:
        found.append(f"called another endpoint than {shown.dialect}: {', '.join(dialects)}")
    if shown.undeclared:
        found.append(f"left undeclared files: {listed(shown.undeclared)}")
    if shown.outlived:
        wrong = counted(shown.outlived, "process", "processes")
        found.append(f"{wrong} escaped the runner and still ran after the end")
    return found


def _normal_faults(shown: Evidence) -> list[str]:
    """Return the faults that count only where nothing goes wrong."""
    found: list[str] = []
    if shown.attempts and not shown.passed:
        found.append("the task was not solved")
    if shown.timed_out:
        found.append(f"did not end within {shown.duration_ms / 1000:.0f} s")
    if shown.unreadable:
        found.append(f"its own count cannot be read: {shown.unreadable}")
    elif shown.own is None and shown.own_promised:
        found.append("its adapter promises an exact own count, and there is none")
    if shown.own is not None and shown.own.exact and not own_agrees(shown):
        found.append("its own count is called exact and differs from the meter's")
    return found


def own_agrees(shown: Evidence) -> bool:
    """Return whether the agent's own count is the meter's, part by part; unknown is not equal."""
    meters = (shown.prompt_tokens, shown.completion_tokens)
    own = shown.own
    if own is None or None in meters:
        return False
    return (own.prompt_tokens, own.completion_tokens) == meters


def error_of_own(shown: Evidence) -> float | None:
    """Return the agent's own count less the meter's, as a share; None unless both are known."""
    own = shown.own
    if own is None or shown.prompt_tokens is None or shown.completion_tokens is None:
        return None
    total = shown.prompt_tokens + shown.completion_tokens
    return (own.total_tokens - total) / total if own.total_tokens is not None and total else None


def listed(names: Sequence[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    shown = ", ".join(names[:_SHOWN_FILES])
    more = len(names) - _SHOWN_FILES
    return f"{shown} and {more} more" if more > 0 else shown

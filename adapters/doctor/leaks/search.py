"""Where to look for the keys of a run after its end, and what counts as a leak."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cab.adapters.doctor.isolation.overlay import Overlay
from cab.adapters.doctor.leaks.encodings import SecretForms, forms_of
from cab.adapters.doctor.leaks.finder import Leak, SecretFinder, file_leaks, secrets_in
from cab.adapters.doctor.leaks.process_watch import ProcessWatch
from cab.adapters.runs.agent_run import AgentRun
from cab.adapters.sandboxes.environment import Places

_REAL = "endpoint's key"
_CELL = "cell's key"
_PROCESS = "a process's "
_ARGV = f"{_PROCESS}argv"


def secrets_to_find(real_key: str, cell_key: str) -> SecretForms:
    """Return what to look for."""
    return {_REAL: forms_of(real_key), _CELL: forms_of(cell_key)}


class RunTraces(NamedTuple):
    """Everything that a run left, to be searched."""

    places: Places
    run: AgentRun
    watch: ProcessWatch
    output: SecretFinder
    overlay: Overlay | None
    folder: Path
    """The doctor's folder of this run, with the ledger."""
    own: Path


def find_leaks(traces: RunTraces, secrets: SecretForms) -> tuple[Leak, ...]:
    """Return each key that is where it must not be.

    The cell's key may be in the environment of the agent's processes and in the run's HOME only; the
    endpoint's key must not be anywhere.
    """
    leaks = {
        *_in_processes(traces),
        *_in_files(traces, secrets),
        *_in_output(traces, secrets),
    }
    return tuple(sorted(leaks))


def _in_processes(traces: RunTraces) -> Iterator[Leak]:
    for leak in traces.watch.leaks:
        if leak.secret == _REAL or leak.place == "argv":
            yield Leak(leak.secret, f"{_PROCESS}{leak.place}")


def _in_files(traces: RunTraces, secrets: SecretForms) -> Iterator[Leak]:
    places = traces.places
    yield from file_leaks(places.home, {_REAL: secrets[_REAL]}, "HOME")
    inside = (
        (places.temporary, "TMPDIR"),
        (places.workdir, "workspace"),
        (traces.folder, "ledger"),
    )
    for folder, label in inside:
        yield from file_leaks(folder, secrets, label)
    if traces.overlay is not None:
        for folder, upper, skipped in traces.overlay.places(traces.own):
            yield from file_leaks(upper, secrets, str(folder), skipped)


def _in_output(traces: RunTraces, secrets: SecretForms) -> Iterator[Leak]:
    run = traces.run
    # The arguments of an agent that may have ended before it was seen.
    argv = str([span.attrs.get("argv") for span in run.spans]).encode()
    stored = set[str]()
    for label, text in (("stdout", run.stdout), ("stderr", run.stderr), (_ARGV, argv)):
        names = secrets_in(text, secrets)
        yield from (Leak(name, label) for name in names)
        stored |= names if label != _ARGV else set()
    yield from (
        Leak(name, "output that was too long to store") for name in traces.output.found - stored
    )

"""Where the keys of a run are looked for once it is over, and what counts as a leak."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cab.adapters.doctor.isolation.overlay import Overlay
from cab.adapters.doctor.leaks.encodings import Forms, forms_of
from cab.adapters.doctor.leaks.finder import Finder, Leak, file_leaks, held_in
from cab.adapters.doctor.leaks.process_watch import Watch
from cab.adapters.runs.agent_run import AgentRun
from cab.adapters.sandboxes.environment import Places

_REAL = "endpoint's key"
_CELL = "cell's key"
_PROCESS = "a process's "
_ARGV = f"{_PROCESS}argv"


def sought(real_key: str, cell_key: str) -> Forms:
    """Return what to look for."""
    return {_REAL: forms_of(real_key), _CELL: forms_of(cell_key)}


class LeakSearchResult(NamedTuple):
    """All that a run left behind."""

    places: Places
    run: AgentRun
    watch: Watch
    printed: Finder
    elsewhere: Overlay | None
    folder: Path
    """The doctor's own: the ledger is in it."""
    own: Path
    """Folder that holds all of the doctor's."""


def leaks_of(found: LeakSearchResult, secrets: Forms) -> tuple[Leak, ...]:
    """Return each key that is where it must not be.

    The cell's key may be in the environment of the agent's processes and in the run's HOME, and nowhere
    else; the endpoint's key may be nowhere.
    """
    leaks = {*_in_processes(found), *_in_files(found, secrets), *_in_output(found, secrets)}
    return tuple(sorted(leaks))


def _in_processes(found: LeakSearchResult) -> Iterator[Leak]:
    for leak in found.watch.leaks:
        if leak.secret == _REAL or leak.place == "argv":
            yield Leak(leak.secret, f"{_PROCESS}{leak.place}")


def _in_files(found: LeakSearchResult, secrets: Forms) -> Iterator[Leak]:
    places = found.places
    yield from file_leaks(places.home, {_REAL: secrets[_REAL]}, "HOME")
    inside = ((places.temporary, "TMPDIR"), (places.workdir, "workspace"), (found.folder, "ledger"))
    for folder, label in inside:
        yield from file_leaks(folder, secrets, label)
    if found.elsewhere is not None:
        for folder, upper, skipped in found.elsewhere.places(found.own):
            yield from file_leaks(upper, secrets, str(folder), skipped)


def _in_output(found: LeakSearchResult, secrets: Forms) -> Iterator[Leak]:
    run = found.run
    # What the agent was started with, for one that lives too short to be seen.
    argv = str([span.attrs.get("argv") for span in run.spans]).encode()
    told = set[str]()
    for label, text in (("stdout", run.stdout), ("stderr", run.stderr), (_ARGV, argv)):
        names = held_in(text, secrets)
        yield from (Leak(name, label) for name in names)
        told |= names if label != _ARGV else set()
    yield from (Leak(name, "a flood of output") for name in found.printed.found - told)

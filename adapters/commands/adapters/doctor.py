"""`cab adapters doctor`: proves with the real CLI that each of its model calls is metered."""

import argparse
import datetime
import os
import signal
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from cab.adapters.agents.base import AgentFacts
from cab.adapters.doctor.diagnosis import NORMAL, Diagnosis
from cab.adapters.doctor.isolation.namespaces import why_not_isolated
from cab.adapters.doctor.parent import Subject, examine_agent
from cab.adapters.doctor.probes import PROBES
from cab.adapters.doctor.report import HEADING, METERED, behaviour_row, metered_row, with_rows
from cab.adapters.doctor.selection import select_subjects
from cab.adapters.errors import AdapterError, AgentNotInstalled
from cab.adapters.ui.cell_table import printable
from cab.adapters.ui.progress import progress

LIMIT_S = 120.0
"""How long one run may take: agents that retry for ever are told from those that give up."""

DESCRIPTION = """\
Run real agent CLIs against a fake endpoint, behind the proxy, and tell what it
proves: every model call came through the proxy and stands in the ledger as the
endpoint has it, the endpoint's key is nowhere near the agent, its scratch files
are declared; and how it behaves when the endpoint fails.

Each run has a HOME of its own and, where the machine allows it (unshare), a
network, processes and mounts of its own: whom else the agent tries to reach is
listed and cannot be reached, what it writes outside its folders is listed and
reaches no disk, and what it leaves running ends. Where the machine does not
allow it, what could not be examined is said.
"""

EPILOG = """\
--json prints one object per agent: agent, version, dialect, date, holds,
faults, not_examined, evidence (probe -> what its run showed), broken (probe ->
why it could not be run). With --all an agent that is not installed has holds
null, and why. The fields of the evidence are described in docs/agents.md.

exit codes: 0 all of it holds, 1 some of it does not, 2 wrong usage, or not
installed
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the action."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="see cab adapters list")
    parser.add_argument("--all", action="store_true", help="all agents that are installed")
    dialects = parser.add_mutually_exclusive_group()
    dialects.add_argument(
        "--dialect", metavar="D", help="examine it in this one (default: the first that it speaks)"
    )
    dialects.add_argument(
        "--all-dialects", action="store_true", help="examine it in each one, with a row for each"
    )
    parser.add_argument(
        "--probe",
        choices=tuple(PROBES),
        action="append",
        metavar="PROBE",
        help=f"only this one; may be repeated: {', '.join(PROBES)}",
    )
    parser.add_argument(
        "--limit-s",
        type=float,
        default=LIMIT_S,
        metavar="S",
        help=f"stop an agent that is still at it (default: {LIMIT_S:g})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per agent")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="PAGE",
        help="put the rows into the tables of a Markdown page, such as docs/agents.md",
    )
    parser.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:
    """Examine the named agents; return the exit code."""
    probes = list(dict.fromkeys(args.probe or PROBES))
    _check(args.limit_s, args.write)
    choice = select_subjects(
        args.names, args.dialect, every_agent=args.all, every_dialect=args.all_dialects
    )
    _tell_missing(choice.missing, as_json=args.json)
    faults = 0
    with _ended_by_signals():
        for found in _examined(choice.subjects, probes, args.limit_s):
            faults += len(found.faults)
            _print_json(found.as_dict()) if args.json else _print_text(found, probes)
            if args.write is not None:
                page = with_rows(args.write.read_text(encoding="utf-8"), [found])
                args.write.write_text(page, encoding="utf-8")
    return int(faults > 0)


def _check(limit_s: float, page: Path | None) -> None:
    """Find out what would otherwise come to light after half an hour.

    Raises:
        AdapterError: The limit is none, or the page cannot be written or has no tables.
    """
    if not limit_s > 0:
        raise AdapterError(f"--limit-s {limit_s:g} is not above 0")
    if page is None:
        return
    try:
        with_rows(page.read_text(encoding="utf-8"), [])
    except (ValueError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise AdapterError(f"--write {page}: {why}") from error
    if not os.access(page, os.W_OK):
        raise AdapterError(f"--write {page}: it cannot be written; give another page")


def _tell_missing(missing: Sequence[AgentFacts], *, as_json: bool) -> None:
    for facts in missing:
        why = str(AgentNotInstalled(facts.name, facts.version))
        print(f"cab: not examined: {why}", file=sys.stderr)
        if as_json:
            told = {"agent": facts.name, "version": facts.version, "holds": None, "why": why}
            _print_json(told)


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """Let SIGTERM and the end of the terminal do what Ctrl-C does: nothing is left running."""

    def end(number: int, frame: object) -> None:
        del frame
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _examined(
    subjects: Sequence[Subject], probes: Sequence[str], limit_s: float
) -> Iterator[Diagnosis]:
    unfit = why_not_isolated()
    if unfit is not None:
        print(f"cab: no namespaces of their own for agents here: {unfit}", file=sys.stderr)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for number, subject in enumerate(subjects, 1):
        what = f"{subject.name} in {subject.dialect} ({number} of {len(subjects)})"
        with progress(f"examining {what}", sys.stderr):
            found = examine_agent(subject, probes, limit_s, today, isolated=unfit is None)
        yield found


def _print_json(told: Mapping[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _print_text(found: Diagnosis, probes: Sequence[str]) -> None:
    """Print a block of lines: the tables of the page are too wide for a terminal."""
    held = "does not hold" if found.faults else "holds"
    alone = "" if set(probes) == set(PROBES) else f" under {', '.join(probes)}"
    print(f"{found.agent} {found.version}: {held}{alone}")
    cells = {**metered_row(found), **behaviour_row(found)}
    lines = [(column, cells[column]) for column in cells if column not in HEADING]
    if NORMAL not in probes:
        lines = [(column, cell) for column, cell in lines if column not in METERED]
    lines += [("not examined", what) for what in found.not_examined]
    lines += [("FAULT", fault) for fault in found.faults]
    for what, text in lines:
        print(printable(f"  {what + ':':27} {text}"))
    sys.stdout.flush()

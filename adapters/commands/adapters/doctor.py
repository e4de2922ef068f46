"""`cab adapters doctor`: proves with the real agent that each of its model calls is metered."""

import argparse
import datetime
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cab.adapters.agents.base import AgentFacts
from cab.adapters.doctor.diagnosis import NORMAL, Diagnosis
from cab.adapters.doctor.isolation.namespaces import why_not_isolated
from cab.adapters.doctor.parent import Subject, examine_agent
from cab.adapters.doctor.probes import PROBES
from cab.adapters.doctor.report import HEADING, METERED, behaviour_row, metered_row, with_rows
from cab.adapters.doctor.selection import select_subjects
from cab.adapters.errors import AdapterError, AgentNotInstalled
from cab.adapters.processes.termination import ended_by_signals
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import AGENTS, JSON_LINES
from cab.adapters.ui.progress import progress
from cab.scoring.printable import printable

LIMIT_S = 120.0
"""Time limit of one run: an agent that is still running then is one that retries for ever."""

DESCRIPTION = """\
Run real agents against a fake endpoint, behind the proxy, and check that every
model call came through the proxy and is in the ledger as the endpoint saw it,
that the agent cannot find the endpoint's key, and that its scratch files are
declared. Also report how it behaves when the endpoint fails.

Each run has a HOME of its own and, if the machine allows it (unshare), its own
network, processes and mounts: other hosts that the agent tries to reach are
listed and cannot be reached; files that it writes outside its folders are listed
and reach no disk; processes that it leaves running are ended. If the machine does
not allow it, the report lists what could not be examined.
"""

EPILOG = """\
--json prints one object per agent: agent, version, dialect, date, holds,
faults, not_examined, evidence (probe -> what its run showed), broken (probe ->
why it could not be run). With --all an agent that is not installed has holds
null, and why. The fields of the evidence are described in docs/agents.md.

exit codes: 0 everything holds, 1 something does not, 2 wrong usage, or an agent
is not installed
"""

OPTIONS = (
    AGENTS,
    Option("--all", action="store_true", help="all agents that are installed"),
    OneOf(
        Option("--dialect", metavar="D", help="examine it with this API; if unset, its first one"),
        Option(
            "--all-dialects", action="store_true", help="examine it with each API, a row for each"
        ),
    ),
    Option(
        "--probe",
        choices=tuple(PROBES),
        action="append",
        metavar="PROBE",
        help=f"only this probe; may be repeated: {', '.join(PROBES)}",
    ),
    Option(
        "--limit-s",
        type=float,
        default=LIMIT_S,
        metavar="S",
        help="stop an agent that is still running after this many seconds",
    ),
    JSON_LINES,
    Option(
        "--write",
        type=Path,
        metavar="PAGE",
        help="write the rows into the tables of a Markdown page, such as docs/agents.md",
    ),
)


def run(args: argparse.Namespace) -> int:
    """Examine the named agents; return the exit code."""
    probes = list(dict.fromkeys(args.probe or PROBES))
    _check(args.limit_s, args.write)
    choice = select_subjects(
        args.names, args.dialect, every_agent=args.all, every_dialect=args.all_dialects
    )
    _report_missing(choice.missing, as_json=args.json)
    faults = 0
    with ended_by_signals():
        for found in _examined(choice.subjects, probes, args.limit_s):
            faults += len(found.faults)
            print_json(found.as_dict()) if args.json else _print_text(found, probes)
            if args.write is not None:
                page = with_rows(args.write.read_text(encoding="utf-8"), [found])
                args.write.write_text(page, encoding="utf-8")
    return int(faults > 0)


def _check(limit_s: float, page: Path | None) -> None:
    """Report now what would otherwise fail after half an hour.

    Raises:
        AdapterError: The limit is not valid, or the page cannot be written or has no tables.
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


def _report_missing(missing: Sequence[AgentFacts], *, as_json: bool) -> None:
    for facts in missing:
        why = str(AgentNotInstalled(facts.name, facts.version))
        print(printable(f"cab: not examined: {why}"), file=sys.stderr)
        if as_json:
            missing_one = {"agent": facts.name, "version": facts.version, "holds": None, "why": why}
            print_json(missing_one)


def _examined(
    subjects: Sequence[Subject], probes: Sequence[str], limit_s: float
) -> Iterator[Diagnosis]:
    unfit = why_not_isolated()
    if unfit is not None:
        what = f"cab: agents cannot get namespaces of their own here: {unfit}"
        print(printable(what), file=sys.stderr)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for number, subject in enumerate(subjects, 1):
        what = f"{subject.name} in {subject.dialect} ({number} of {len(subjects)})"
        with progress(f"examining {what}", sys.stderr):
            found = examine_agent(subject, probes, limit_s, today, isolated=unfit is None)
        yield found


def _print_text(found: Diagnosis, probes: Sequence[str]) -> None:
    """Print a block of lines: the tables of the page are too wide for a terminal."""
    held = "does not hold" if found.faults else "holds"
    alone = "" if set(probes) == set(PROBES) else f" under {', '.join(probes)}"
    print(printable(f"{found.agent} {found.version}: {held}{alone}"))
    cells = {**metered_row(found), **behaviour_row(found)}
    lines = [(column, cells[column]) for column in cells if column not in HEADING]
    if NORMAL not in probes:
        lines = [(column, cell) for column, cell in lines if column not in METERED]
    lines += [("not examined", what) for what in found.not_examined]
    lines += [("FAULT", fault) for fault in found.faults]
    for what, text in lines:
        print(printable(f"  {what + ':':27} {text}"))
    sys.stdout.flush()

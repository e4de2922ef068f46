"""The report of a sweep: a line per agent and model, what was spent, and all attempts without a result."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cab.adapters.sweeps.attempts import (
    REPORT_FILE,
    SIGNED_REPORT_FILE,
    list_attempts,
    signed_report,
)
from cab.adapters.sweeps.budget import spend_members
from cab.adapters.sweeps.journal import End
from cab.adapters.sweeps.progress.texts import spend_text
from cab.adapters.sweeps.session import SessionResult, SweepPlan
from cab.adapters.sweeps.state import BUNDLES
from cab.adapters.ui.cell_inputs import CellReader
from cab.adapters.ui.format import dollars_per_pass, figure_text, interval_text, seconds_text
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column
from cab.adapters.ui.tables import ResultTable, TableFormat, markdown, write
from cab.scoring.analysis.aggregate import Aggregate, Part, aggregate
from cab.scoring.analysis.observation import Observation
from cab.scoring.analysis.reconcile import Reconciliation, reconcile
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.printable import counted, printable
from cab.scoring.profiles.builtin import DEFAULT_PROFILE, find_profile

_BY: tuple[Part, ...] = ("tui", "model")
_COLUMNS = (
    Column("agent", "text"),
    Column("model", "path"),
    Column("cells", rank=2),
    Column("pass rate", unit="%"),
    Column("tokens per correct"),
    Column("tokens per cell", rank=3),
    Column("calls per cell", rank=4),
    Column("cost per pass", unit="$", rank=1),
    Column("median time", unit="s", rank=3),
    Column("failed by infrastructure", rank=2),
    Column("own count off by", "text", unit="%", rank=5),
)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep came to, over all its sessions."""

    plan: SweepPlan
    groups: list[Aggregate]
    """One per agent and model that has a result."""
    counters: list[Reconciliation]
    """How the agents' own counts compare, in the same groups."""
    cells: dict[str, str]
    """Slot -> cell that fills it; slots of the sweep's file only."""
    failed: dict[str, End]
    """Slot -> last attempt, where the infrastructure failed it."""
    not_run: dict[str, str]
    failed_attempts: list[End]
    attempts: list[dict[str, Any]]
    """Every attempt, with the digest of its seal."""
    spend: CallTotals
    """What is known of it, where calls were lost."""
    lost_calls: tuple[str, ...]
    """Cells whose calls are neither in the ledger nor in a bundle."""
    unreadable: bool
    """Whether a bundle could not be read; the error was printed."""

    @property
    def complete(self) -> int:
        """How many of the slots that were asked for have their result."""
        return len(self.plan.chosen & self.cells.keys())

    @property
    def whole(self) -> bool:
        """Whether every slot that was asked for has its result."""
        return self.plan.chosen <= self.cells.keys() and not self.unreadable

    def as_dict(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {
            "sweep": self.plan.sweep.name,
            "folder": str(self.plan.folder),
            "ledger": str(self.plan.ledger),
            "wanted": len(self.plan.chosen),
            "complete": self.complete,
            "whole": self.whole,
            "groups": self.groups,
            "self_reported": self.counters,
            "spend": spend_members(self.spend, len(self.lost_calls)),
            "cells": self.cells,
            "failed": {slot: end.reason for slot, end in self.failed.items()},
            "not_run": self.not_run,
            # The name of a published field; the attempts lie in `failed/`.
            "apart": [_attempt(end) for end in self.failed_attempts],
            "attempts": self.attempts,
        }


def make_report(plan: SweepPlan, result: SessionResult) -> SweepReport:
    """Return the report of a sweep after a session."""
    slots = [slot.id for slot in plan.matrix.slots]
    state = result.state
    cells = {slot: state.complete[slot] for slot in slots if slot in state.complete}
    observer = CellReader(find_profile(DEFAULT_PROFILE))
    found = list(_observed(plan, cells.values(), observer))
    ends = {slot: state.unfilled[slot] for slot in slots if slot in state.unfilled}
    return SweepReport(
        plan=plan,
        groups=aggregate(found, _BY),
        counters=reconcile(found, _BY),
        cells=cells,
        failed={s: end for s, end in ends.items() if end.verdict == "infrastructure"},
        not_run=_not_run(plan, result, ends),
        failed_attempts=state.failed_attempts,
        attempts=list_attempts(plan.folder, state),
        spend=result.spend,
        lost_calls=result.lost_calls,
        unreadable=observer.exit_code != 0,
    )


def print_report(report: SweepReport, form: TableFormat) -> None:
    """Print a report."""
    if form == "json":
        print_json(report.as_dict())
        return
    if form == "markdown":
        sys.stdout.write(as_markdown(report))
        return
    write(form, _sheet(report), [])
    sys.stdout.write("".join(f"{printable(line)}\n" for line in _lines(report)))


def save_report(report: SweepReport) -> None:
    """Write a report into the sweep's folder, as a page and as JSON, and sign it if there is a key."""
    data = orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    folder, key_file = report.plan.folder, report.plan.seal_key_file
    (folder / SIGNED_REPORT_FILE).unlink(missing_ok=True)  # it was of the report before
    (folder / REPORT_FILE).write_bytes(data)
    if key_file is not None:
        signed = signed_report(report.plan.sweep.name, data, report.attempts, key_file)
        (folder / SIGNED_REPORT_FILE).write_bytes(signed)
    (report.plan.folder / "report.md").write_text(as_markdown(report), encoding="utf-8")


def as_markdown(report: SweepReport) -> str:
    """Return a report as a page."""
    lines = "".join(f"- {printable(line)}\n" for line in _lines(report))
    return f"# Sweep {report.plan.sweep.name}\n\n{markdown(_sheet(report))}\n{lines}"


def _observed(plan: SweepPlan, cells: Iterable[str], observer: CellReader) -> Iterable[Observation]:
    return observer.cells(plan.folder / BUNDLES / cell for cell in cells)


def _not_run(plan: SweepPlan, result: SessionResult, ends: Mapping[str, End]) -> dict[str, str]:
    """Return the slots without a result for another reason than the infrastructure."""
    reasons = {
        slot: end.reason or end.verdict
        for slot, end in ends.items()
        if slot in plan.chosen and end.verdict != "infrastructure"
    }
    return {**reasons, **{s: why for s, why in result.not_run.items() if s not in reasons}}


def _attempt(end: End) -> dict[str, Any]:
    return end.model_dump(
        include={"slot", "cell_id", "verdict", "reason", "bundle", "calls", "tokens"}
    )


def _sheet(report: SweepReport) -> ResultTable:
    counters = {tuple(each.key.values()): each for each in report.counters}
    failed = Counter(_group_of(parse_cell_id(slot)) for slot in report.failed)
    rows = [
        _row(group, counters[tuple(group.key.values())], failed.pop(_key(group), 0))
        for group in report.groups
    ]
    rows += [
        [*key, "0", *["no cells"] * 6, str(count), "no cells"] for key, count in failed.items()
    ]
    return ResultTable(_COLUMNS, rows)


def _key(group: Aggregate) -> tuple[str, str]:
    return group.key["tui"], group.key["model"]


def _group_of(cell: CellId) -> tuple[str, str]:
    return cell.tui, cell.model


def _row(group: Aggregate, counter: Reconciliation, failed: int) -> list[str]:
    return [
        *_key(group),
        str(group.cells),
        interval_text(group.pass_rate, 100, 0),
        interval_text(group.tokens_per_correct, 1, 0),
        figure_text(group.tokens_per_cell, 1, 0),
        figure_text(group.calls_per_cell, 1, 1),
        dollars_per_pass(group),
        seconds_text(group.wall_clock_ms_median),
        str(failed + sum(group.infrastructure.values())),
        _own_count(counter),
    ]


def _own_count(counter: Reconciliation) -> str:
    total = counter.counts["total_tokens"]
    if total.relative_error is None:
        return "gives no count" if not counter.reporting else "not comparable"
    note = "" if counter.exact else ", not exact"
    return f"{100 * total.relative_error:+z,.2f} ({total.equal} of {total.compared} equal{note})"


def _lines(report: SweepReport) -> list[str]:
    plan = report.plan
    lines = [
        f"{report.complete} of {len(plan.chosen)} cells have a result; "
        f"bundles: {plan.folder / BUNDLES}",
        f"spent over all attempts: {_spend_text(report)}",
    ]
    lines += [f"failed by the infrastructure: {s}: {e.reason}" for s, e in report.failed.items()]
    lines += [f"not run: {slot}: {why}" for slot, why in report.not_run.items()]
    return [*lines, *_failed_lines(report.failed_attempts)]


def _spend_text(report: SweepReport) -> str:
    known, lost = spend_text(report.spend), report.lost_calls
    if not lost:
        return known
    return f"not known: the calls of {counted(len(lost), 'cell')} are lost, {lost[0]} among them; the others: {known}"


def _failed_lines(attempts: Sequence[End]) -> list[str]:
    lines: list[str] = []
    for verdict, count in sorted(Counter(end.verdict for end in attempts).items()):
        calls = [end.calls for end in attempts if end.verdict == verdict]
        known = sum(each for each in calls if each is not None)
        lines.append(
            f"attempts without a result, {verdict}: {count}, with {known} calls in the ledger"
        )
    return lines

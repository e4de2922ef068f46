"""Cell bundles: the folder of one run, read, checked and scored offline.

    cell.json     facts, and the scores made from them
    calls.jsonl   the cell's slice of the ledger; missing if nothing was metered. Without calls it shows
                  zero calls only beside a seal, or with the cell's `cell_open` line
    seal.json     what the proxy stated of the slice when it closed the cell; it must match
    before.json   what the workspace held before the run
    after.json    what it held after it
    stdout.txt    what the agent printed
    changes.patch lines that it changed; without it they are unknown

The same bundle gives the same `cell.json`, byte for byte.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# A link that leads nowhere is a fault of a bundle, not a file that it does without.
from os.path import lexists
from pathlib import Path

from cab.scoring.axes import Axes
from cab.scoring.axes.blast_radius import score_blast_radius
from cab.scoring.axes.calls import score_calls
from cab.scoring.axes.cost import score_cost
from cab.scoring.axes.integrity import score_integrity
from cab.scoring.axes.latency import score_latency
from cab.scoring.axes.pass_rate import score_pass_rate
from cab.scoring.axes.refusal import score_refusal
from cab.scoring.axes.tokens import score_tokens, tokens_source
from cab.scoring.cells.cell import CELL_SCHEMA, Cell, CellFacts, Scorers, Timing, dump_cell
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.manifest import TreeManifest, diff_trees, load_manifest
from cab.scoring.evidence.patch_lines import FileLines, read_patch_lines
from cab.scoring.evidence.tree_changes import tree_facts
from cab.scoring.files import StrPath, check_regular, naming, read_object, validated
from cab.scoring.ledger.call_sums import CallSums, sum_calls
from cab.scoring.ledger.reading import iter_numbered
from cab.scoring.ledger.records import AnyRecord, CallEnd
from cab.scoring.ledger.seals import load_seal
from cab.scoring.ledger.verify import verify_slice
from cab.scoring.profiles.builtin import PUBLISHED, composites
from cab.scoring.timestamps import instant_us

CELL_FILE = "cell.json"
CALLS_FILE = "calls.jsonl"
SEAL_FILE = "seal.json"
BEFORE_FILE = "before.json"
AFTER_FILE = "after.json"
STDOUT_FILE = "stdout.txt"
PATCH_FILE = "changes.patch"
MARKER_FILE = "INCOMPLETE"
"""Lies in a bundle from its first file to its last."""

STDOUT_TAIL_BYTES = 4096
"""Agents ask back, or decline, in the last words that they print."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that a score is made from."""

    facts: CellFacts
    """What was recorded of the cell."""
    before: TreeManifest
    """The workspace before the run."""
    after: TreeManifest
    """The workspace after it."""
    calls: CallSums | None
    """Sums over the cell's calls; None if nothing was metered."""
    stdout_tail: str | None
    """End of what the agent printed; None if it was not kept."""
    lines: Mapping[str, FileLines] | None = None
    """Path -> lines that changed; None if there is no patch."""
    sealed: bool = False
    """Whether a seal is there; the calls are what it states then."""


def read_bundle(path: StrPath, facts: CellFacts | None = None) -> Bundle:
    """Return what a bundle's folder holds.

    Args:
        path: The folder.
        facts: Facts of a cell whose bundle is still being written.

    Raises:
        BadRecord: The bundle is not whole, or a file of it is missing, corrupt, or contradicts
            another one, such as a slice that does not match its seal.
    """
    path = Path(path)
    if facts is None:
        if (path / MARKER_FILE).exists():
            raise BadRecord(
                str(path),
                None,
                "is not a finished cell: its run was stopped, or still runs; run the cell again to score it",
            )
        facts = read_facts(path / CELL_FILE)
    return Bundle(
        facts=facts,
        before=load_manifest(path / BEFORE_FILE),
        after=load_manifest(path / AFTER_FILE),
        calls=_read_calls(path, facts.identity.cell_id),
        stdout_tail=_read_tail(path / STDOUT_FILE),
        lines=read_patch_lines(path / PATCH_FILE),
        sealed=lexists(path / SEAL_FILE),
    )


def read_facts(path: StrPath) -> CellFacts:
    """Return the facts that a `cell.json` holds; its scores are not looked at.

    Raises:
        BadRecord: The file is not a `cab.cell/1`, or a fact is missing or wrong.
    """
    path = Path(path)
    data = read_object(path)
    if data.get("schema") != CELL_SCHEMA:
        raise BadRecord(str(path), None, f"is not {CELL_SCHEMA!r}", field="schema")
    return validated(CellFacts, data, path)


def score_bundle(bundle: Bundle) -> Cell:
    """Return the scored cell, under every profile."""
    facts, axes = bundle.facts, _axes(bundle)
    profiles = composites(axes)
    return Cell(
        identity=facts.identity,
        timing=_with_tokens(facts.timing, axes),
        task=facts.task,
        check=facts.check,
        self_reported=facts.self_reported,
        scorers=Scorers(**dict(axes), composite=profiles[PUBLISHED]),
        profiles=profiles,
        spans=facts.spans,
    )


def rescore(path: StrPath) -> bytes:
    """Return the `cell.json` that a bundle's facts give.

    Raises:
        BadRecord: As for `read_bundle`.
    """
    path = Path(path)
    return dump_cell(score_bundle(read_bundle(path)))


def _axes(bundle: Bundle) -> Axes:
    facts, calls = bundle.facts, bundle.calls
    diff = diff_trees(bundle.before, bundle.after)
    extra_git_dir = bundle.after.git_dir and not bundle.before.git_dir
    pass_rate = score_pass_rate(facts.check)
    return Axes(
        pass_rate=pass_rate,
        tokens=score_tokens(calls, pass_rate.passed),
        latency=score_latency(facts.timing.duration_ms, facts.spans, calls),
        blast_radius=score_blast_radius(
            diff,
            facts.task,
            extra_git_dir=extra_git_dir,
            facts=tree_facts(bundle.before, bundle.after, diff),
            lines=bundle.lines,
            incomplete=sorted({*bundle.before.incomplete, *bundle.after.incomplete}),
        ),
        refusal=score_refusal(diff, bundle.after, facts.task, facts.check, bundle.stdout_tail),
        integrity=score_integrity(diff, facts.task, facts.check),
        calls=score_calls(calls),
        cost=score_cost(calls, pass_rate.passed),
    )


def _with_tokens(timing: Timing, axes: Axes) -> Timing:
    tokens = axes.tokens
    return timing.model_copy(
        update={
            "prompt_tokens": tokens.prompt_tokens,
            "completion_tokens": tokens.completion_tokens,
            "tokens_source": tokens_source(tokens),
        }
    )


def _read_calls(folder: Path, cell_id: str) -> CallSums | None:
    calls, seal = folder / CALLS_FILE, folder / SEAL_FILE
    if sealed := lexists(seal):
        _check_seal(seal, calls, cell_id)
    if not lexists(calls):
        return None
    sums = sum_calls(_checked(calls, cell_id))
    # A sealed slice without a line is that of a cell without calls.
    return CallSums() if sums is None and sealed else sums


def _check_seal(path: Path, calls: Path, cell_id: str) -> None:
    seal = load_seal(path)
    if seal.cell_id != cell_id:
        raise BadRecord(str(path), None, f"{seal.cell_id!r} is not this cell", field="cell_id")
    found = verify_slice(calls, seal)
    if not found.holds:
        fault = found.faults[0]
        raise BadRecord(str(fault.path), fault.line, fault.what)


def _checked(path: Path, cell_id: str) -> Iterator[AnyRecord]:
    """Yield a slice's records; each that names a cell must name this one, and a call ends once, not before it began."""
    ended: set[str] = set()
    for line, record in iter_numbered(path):
        named = getattr(record, "cell_id", cell_id)
        if named != cell_id:
            raise BadRecord(str(path), line, f"{named!r} is not this cell", field="cell_id")
        if isinstance(record, CallEnd):
            _check_times(record, path, line)
            if record.call_id in ended:
                raise BadRecord(str(path), line, "this call has ended already", field="call_id")
            ended.add(record.call_id)
        yield record


def _check_times(end: CallEnd, path: Path, line: int) -> None:
    instants: dict[str, int] = {}
    for field in ("started_at", "ended_at"):
        try:
            instants[field] = instant_us(getattr(end, field))
        except ValueError as error:
            raise BadRecord(str(path), line, str(error), field=field) from error
    if instants["ended_at"] < instants["started_at"]:
        raise BadRecord(str(path), line, "the call ends before it starts", field="ended_at")


def _read_tail(path: Path) -> str | None:
    if not lexists(path):
        return None
    size_bytes = check_regular(path)
    with naming(path), path.open("rb") as handle:
        handle.seek(max(0, size_bytes - STDOUT_TAIL_BYTES))
        return handle.read(STDOUT_TAIL_BYTES).decode("utf-8", errors="replace")

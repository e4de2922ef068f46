"""Scores of coding agents from what was measured: records in, scores out.

No sockets, no clocks, no event loop; pydantic and orjson are all it needs. A ledger, the part of it
that belongs to one agent, and what its calls cost:

    from pathlib import Path
    from cab.scoring import iter_records, score_tokens, sum_calls

    records = iter_records(Path("cab-ledger"), cell_prefix="local/aider/")
    tokens = score_tokens(sum_calls(records), passed=1)
    print(tokens.model_calls, tokens.total_tokens, tokens.by_source)

Whole cells, from their bundles or from published pages:

    from cab.scoring import score_path

    for cell in score_path(Path("runs"), "measured/1"):
        print(cell["cell_id"], cell["composite"], cell["tokens"]["total_tokens"])

Sets of cells, with an uncertainty on every figure:

    from cab.scoring import aggregate, observe

    cells = [observe(cell) for cell in score_path(Path("runs"))]
    for group in aggregate(cells, by=("tui", "model")):
        print(group.key, group.pass_rate, group.tokens_per_correct)

Unknown is None, never 0, and bad input raises a `ScoringError` that names file, line and field.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from cab.scoring.axes import (
    Axes,
    BlastRadius,
    Calls,
    Cost,
    Integrity,
    Latency,
    PassRate,
    Refusal,
    SourceTokens,
    Tokens,
)
from cab.scoring.axes.blast_radius import score_blast_radius
from cab.scoring.axes.calls import score_calls
from cab.scoring.axes.cost import score_cost
from cab.scoring.axes.integrity import score_integrity
from cab.scoring.axes.latency import score_latency
from cab.scoring.axes.pass_rate import score_pass_rate
from cab.scoring.axes.refusal import RefusalVerdict, judge_refusal, score_refusal
from cab.scoring.axes.tokens import score_tokens
from cab.scoring.cells.bundle import (
    Bundle,
    read_bundle,
    read_facts,
    rescore,
    score_bundle,
)
from cab.scoring.cells.cell import (
    Cell,
    CellFacts,
    CheckOutcome,
    Identity,
    Scorers,
    SelfReport,
    Span,
    Timing,
    dump_cell,
)
from cab.scoring.cells.published import PublishedCell, read_published
from cab.scoring.errors import BadCellId, BadRecord, ScoringError, TooFewRuns, UnknownProfile
from cab.scoring.evidence.manifest import (
    TreeDiff,
    TreeEntry,
    TreeManifest,
    diff_trees,
    dump_manifest,
    load_manifest,
)
from cab.scoring.evidence.task import TaskFacts
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.ledger.call_sums import CallSums, sum_calls
from cab.scoring.ledger.reading import iter_calls, iter_records
from cab.scoring.ledger.records import CallEnd, CallStart, OtherRecord, parse_record
from cab.scoring.ledger.seals import Seal, load_seal
from cab.scoring.ledger.totals import CellTotals, total_cells
from cab.scoring.ledger.verify import Verification, verify_ledger, verify_slice
from cab.scoring.profiles.builtin import DEFAULT_PROFILE, PROFILES, composite, find_profile
from cab.scoring.profiles.composite import Composite
from cab.scoring.profiles.explain import explain
from cab.scoring.profiles.files import read_profile
from cab.scoring.profiles.model import Factors, Profile, Term
from cab.scoring.score import ScoredCell, find_cells, score_cells, score_one, score_path

if TYPE_CHECKING:
    from cab.scoring.analysis.aggregate import Aggregate, OfK, Part, aggregate
    from cab.scoring.analysis.compare import METRICS, Comparison, Metric, compare, compare_all
    from cab.scoring.analysis.estimates import Figure, Settings
    from cab.scoring.analysis.observation import Observation, SelfCount, observe
    from cab.scoring.analysis.reconcile import (
        CellReconciliation,
        CounterError,
        Discrepancy,
        Reconciliation,
        reconcile,
        reconcile_cell,
    )
    from cab.scoring.analysis.sentences import sentence
    from cab.scoring.imports.harbor import read_harbor
    from cab.scoring.imports.reports import read_swebench_report
    from cab.scoring.ledger.signatures import load_public_key, signature_fault

    from . import exports, imports, stats

# What is about sets of cells is imported when it is first used: who scores one cell does not wait
# for the statistics.
_LATER = {
    "analysis.aggregate": ("Aggregate", "OfK", "Part", "aggregate"),
    "analysis.compare": ("METRICS", "Comparison", "Metric", "compare", "compare_all"),
    "analysis.estimates": ("Figure", "Settings"),
    "analysis.observation": ("Observation", "SelfCount", "observe"),
    "analysis.reconcile": (
        *("CellReconciliation", "CounterError", "Discrepancy", "Reconciliation"),
        *("reconcile", "reconcile_cell"),
    ),
    "analysis.sentences": ("sentence",),
    "imports.harbor": ("read_harbor",),
    "imports.reports": ("read_swebench_report",),
    "ledger.signatures": ("load_public_key", "signature_fault"),
}
_PACKAGES = ("exports", "imports", "stats")
"""Public packages below this one."""

__all__ = [  # noqa: RUF022 - a table of contents, not an index
    # records: what the ledger holds
    "CallEnd",
    "CallStart",
    "OtherRecord",
    "CellTotals",
    "iter_calls",
    "iter_records",
    "parse_record",
    "total_cells",
    # whether it is what was written
    "Seal",
    "Verification",
    "load_public_key",
    "load_seal",
    "signature_fault",
    "verify_ledger",
    "verify_slice",
    # facts: what a run leaves behind
    "CellFacts",
    "CellId",
    "CheckOutcome",
    "Identity",
    "SelfReport",
    "Span",
    "TaskFacts",
    "Timing",
    "TreeDiff",
    "TreeEntry",
    "TreeManifest",
    "diff_trees",
    "dump_manifest",
    "load_manifest",
    "parse_cell_id",
    # axes: one dimension of the score each
    "Axes",
    "BlastRadius",
    "CallSums",
    "Calls",
    "Cost",
    "Integrity",
    "Latency",
    "PassRate",
    "Refusal",
    "RefusalVerdict",
    "SourceTokens",
    "Tokens",
    "judge_refusal",
    "score_blast_radius",
    "score_calls",
    "score_cost",
    "score_integrity",
    "score_latency",
    "score_pass_rate",
    "score_refusal",
    "score_tokens",
    "sum_calls",
    # profiles: from axes to one number
    "DEFAULT_PROFILE",
    "PROFILES",
    "Composite",
    "Factors",
    "Profile",
    "Term",
    "composite",
    "explain",
    "find_profile",
    "read_profile",
    # whole cells
    "Bundle",
    "Cell",
    "PublishedCell",
    "ScoredCell",
    "Scorers",
    "dump_cell",
    "find_cells",
    "read_bundle",
    "read_facts",
    "read_published",
    "rescore",
    "score_bundle",
    "score_cells",
    "score_one",
    "score_path",
    # sets of cells: how much, how sure, how different
    "METRICS",
    "Aggregate",
    "CellReconciliation",
    "Comparison",
    "CounterError",
    "Discrepancy",
    "Figure",
    "Metric",
    "Observation",
    "OfK",
    "Part",
    "Reconciliation",
    "SelfCount",
    "Settings",
    "aggregate",
    "compare",
    "compare_all",
    "observe",
    "reconcile",
    "reconcile_cell",
    "sentence",
    # other tools: formats in and out, and statistics on plain numbers
    "exports",
    "imports",
    "read_harbor",
    "read_swebench_report",
    "stats",
    # errors
    "BadCellId",
    "BadRecord",
    "ScoringError",
    "TooFewRuns",
    "UnknownProfile",
]


def _loaded(name: str) -> object:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    for module, names in _LATER.items():
        if name in names:
            value: object = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if not TYPE_CHECKING:
    # A type checker that saw it would take any name for one of ours.
    __getattr__ = _loaded


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

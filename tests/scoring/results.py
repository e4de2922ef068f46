"""Flat results as `score_path` yields them, and observations of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cab.scoring import dump_cell, parse_cell_id, read_bundle, score_bundle
from cab.scoring.analysis.observation import Observation
from cab.scoring.analysis.observe import observe
from cab.scoring.cells.cell import Identity, SelfReport
from tests.scoring.builders import check, end_fields, facts, task_facts, write_bundle


def result(cell_id: str = "s/aider/m/f/one", **changes: Any) -> dict[str, Any]:
    """Return the flat result of a passed cell: 120 tokens in 2 calls, 3 s."""
    fields: dict[str, Any] = {
        "passed": 1,
        "total": 120,
        "calls": 2,
        "succeeded": 2,
        "cost": "0.10",
        "wall_ms": 3000.0,
        "stopped": False,
        "composite": 0.5,
        "own": None,
        **changes,
    }
    total = fields["total"]
    return {
        "cell_id": cell_id,
        "composite": fields["composite"],
        "pass_rate": {"pass": fields["passed"]},
        "tokens": {
            "prompt_tokens": None if total is None else max(0, total - 20),
            "completion_tokens": None if total is None else 20,
            "total_tokens": total,
            "model_calls": fields["calls"],
            "attempts": fields["calls"],
        },
        "calls": {"succeeded": fields["succeeded"]},
        "cost": {"cost_usd": fields["cost"]},
        "latency": {"wall_clock_ms": fields["wall_ms"]},
        "blast_radius": {"blast_radius": 0.0},
        "self_reported": own_count(fields["own"]),
        "stopped": fields["stopped"],
        "path": f"runs/{cell_id}",
    }


def own_count(total: int | None, *, exact: bool = True) -> dict[str, Any] | None:
    """Return the agent's own count of a cell, None if it gives none."""
    if total is None:
        return None
    return {
        "prompt_tokens": total - 20,
        "completion_tokens": 20,
        "total_tokens": total,
        "source": "tui_stdout",
        "exact": exact,
    }


def cell(cell_id: str = "s/aider/m/f/one", **changes: Any) -> Observation:
    """Return the observation of such a result."""
    return observe(result(cell_id, **changes))


def stored_cell(
    runs: Path,
    cell_id: str,
    *,
    passed: bool = True,
    own: int | None = None,
    call: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write a whole bundle of one call, 120 tokens, below a folder of runs; `call` has changes of its END."""
    parts = parse_cell_id(cell_id)
    known = facts(
        identity=Identity(
            cell_id=cell_id,
            sweep_id=parts.sweep,
            tui=parts.tui,
            model_build_id=parts.model,
            exit_code=0,
            sandbox="local",
            cab_version="0.1.0",
        ),
        task=task_facts(task_id=parts.task_id),
        check=check(passed=passed, exit_code=int(not passed)),
        self_reported=None if own is None else SelfReport(**(own_count(own, exact=False) or {})),
        **changes,
    )
    calls = [end_fields(cell_id=cell_id, **(call or {}))]
    folder = write_bundle(runs / cell_id, calls=calls, sealed=True, cell_id=cell_id)
    (folder / "cell.json").write_bytes(dump_cell(score_bundle(read_bundle(folder, known))))
    return folder

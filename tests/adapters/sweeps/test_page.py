"""The example and the page about sweeps are what the code takes."""

from pathlib import Path

from cab.adapters.sweeps.journal import AttemptOutcome
from cab.adapters.sweeps.matrix import make_matrix
from cab.adapters.sweeps.placement import ExecutorTable, ResourcePlan
from cab.adapters.sweeps.sweepfile import Budget, CellAllowance, SweepFile, load_sweep

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLE = DOCS / "examples" / "sweep.toml"
PAGE = (DOCS / "sweeps.md").read_text()


def test_example() -> None:
    """The example is a sweep with agents and tasks that there are; every key is in it."""
    sweep = load_sweep(EXAMPLE)
    matrix = make_matrix(sweep, EXAMPLE.parent)

    assert matrix.problems == ()
    assert len(matrix.slots) + len(matrix.left_out) == 3 * 2 * 3 * 2
    assert sweep.model_fields_set == SweepFile.model_fields.keys()
    assert sweep.budget.model_fields_set == Budget.model_fields.keys()
    assert sweep.limits.model_fields_set == CellAllowance.model_fields.keys()
    assert sweep.executor.model_fields_set == ExecutorTable.model_fields.keys()
    assert sweep.resources.model_fields_set == ResourcePlan.model_fields.keys()


def test_page() -> None:
    """The page shows the example as it is, and names every verdict."""
    assert EXAMPLE.read_text() in PAGE
    for verdict in AttemptOutcome.__args__:  # type: ignore[attr-defined]  # of a Literal
        assert f"`{verdict}`" in PAGE

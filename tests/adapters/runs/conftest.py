"""The cell that tests of this folder run."""

from pathlib import Path

import pytest

from cab.adapters.runs.spec import CellSpec
from tests.adapters.runs.cells import REAL_KEY, TASK


@pytest.fixture
def spec(tmp_path: Path) -> CellSpec:
    return CellSpec(
        tui="scripted",
        model="demo",
        task=TASK,
        upstream="demo",
        upstream_key=REAL_KEY,
        runs=tmp_path / "runs",
    )

"""The cell that tests of this folder run."""

from pathlib import Path

import pytest

from cab.adapters.runs.spec import CellSpec
from tests.adapters.light_task import light_task
from tests.adapters.runs.cells import REAL_KEY


@pytest.fixture
def spec(tmp_path: Path) -> CellSpec:
    return CellSpec(
        tui="scripted",
        model="demo",
        task=light_task(),
        upstream="demo",
        upstream_key=REAL_KEY,
        runs=tmp_path / "runs",
    )

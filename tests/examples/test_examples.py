"""The examples for other harnesses run as they stand, each as a process of its own."""

import re
import runpy
import sys
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring import iter_calls
from tests.scoring.builders import end_fields, open_fields, start_fields, summed
from tests.scoring.ledgers import write_ledger
from tests.tools import programs

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
READER = Path(__file__).parents[1] / "scoring" / "exports" / "inspect" / "read_log.py"


run = partial(programs.run, sys.executable, hidden=("CAB_", "INSPECT_", "PYTEST_", "MODEL"))


def test_ten_lines_score_a_ledger(tmp_path: Path) -> None:
    """A ledger and ids give calls, tokens, money; one open call, and a wrong id, leave no sum."""
    calls = [
        end_fields("a", cell_id="s/aider/m/f/t#run1", cost_usd="0.25"),
        end_fields("b", cell_id="s/aider/m/f/t#run1", cost_usd="0.5"),
        end_fields("c", cell_id="s/aider/m/f/t#run10"),
        end_fields("d", cell_id="s/cut/m/f/t"),
        start_fields("e", cell_id="s/cut/m/f/t"),
    ]
    write_ledger(tmp_path / "cab-ledger", calls)
    printed = run(
        *(str(EXAMPLES / "ten_lines.py"), "cab-ledger"),
        *("s/aider/m/f/t#run1", "s/aider/m/f/t#run10", "s/cut/m/f/t", "s/aider/"),
        cwd=tmp_path,
    ).splitlines()
    assert printed[0] == "s/aider/m/f/t#run1 2 calls 240 tokens 0.75 USD"
    assert printed[2] == "s/aider/m/f/t#run10 1 calls 120 tokens None USD"
    assert printed[1].endswith("{'completed': 2}")
    assert printed[4] == "s/cut/m/f/t 2 calls None tokens None USD"
    assert printed[6] == "s/aider/ None calls None tokens None USD"


def test_ten_lines_are_about_ten() -> None:
    """The shortest use fits on one screen with room to spare."""
    code = (EXAMPLES / "ten_lines.py").read_text().rpartition('"""')[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


@pytest.mark.slow
def test_the_plain_harness_passes(tmp_path: Path) -> None:
    """pytest runs the harness as it stands: a command behind a proxy, metered and scored."""
    options = ("-q", "-s", "-p", "no:cacheprovider")
    harness = str(EXAMPLES / "test_harness.py")
    printed = run(
        "-m", "pytest", *options, harness, f"--basetemp={tmp_path / 'base'}", cwd=tmp_path
    )
    found = re.search(r"^nightly/my-agent/demo/chat/say-hello 0 1 (\d+) (0\.\d+)", printed, re.M)
    assert found, printed
    assert "1 passed" in printed
    [ledger] = (tmp_path / "base").glob("*0/*.jsonl")  # and a link to that folder
    calls = summed(iter_calls(ledger.parent))
    assert calls.tokens.total.value == int(found[1])


def test_a_cell_without_calls_is_not_better_than_one_with(tmp_path: Path) -> None:
    """A wrong id has unknown tokens, an agent that went past the proxy has none: neither has a score."""
    harness: Any = runpy.run_path(str(EXAMPLES / "test_harness.py"))
    opened, called = "n/a/m/f/opened", "n/a/m/f/called"
    write_ledger(tmp_path, [open_fields(opened), end_fields("a", cell_id=called)])
    totals = {}
    for cell in (called, opened, "n/a/m/f/typo"):
        axes, composite = harness["score"](cell, tmp_path, 0, 1000.0)
        totals[cell] = axes.tokens.total_tokens, composite is not None
    assert totals == {called: (120, True), opened: (0, False), "n/a/m/f/typo": (None, False)}


@pytest.mark.slow  # importing Inspect, in two processes, takes seconds
def test_inspect_scores_what_was_metered(tmp_path: Path) -> None:
    """Each sample of a real evaluation is scored by its own calls; Inspect's own sums agree."""
    printed = run(str(EXAMPLES / "inspect_scorer.py"), "out", cwd=tmp_path)
    [location] = re.findall(r"^success (\S+\.eval)$", printed, re.M)
    [found] = orjson.loads(run(str(READER), location, cwd=tmp_path))
    ledger = tmp_path / "out" / "ledger"
    tokens = {}
    for one in found["samples"]:
        cell = f"inspect/generate/demo/chat/{one['id']}#run{one['epoch']}"
        calls = summed(iter_calls(ledger, cell))
        assert calls.model_calls == 1
        assert one["scores"]["cab_tokens"]["value"] == calls.tokens.total.value
        assert one["scores"]["cab_tokens"]["metadata"]["by_source"].keys() == {"upstream"}
        tokens[one["id"], one["epoch"]] = calls.tokens.total.known
    assert len(tokens) == 4
    [used] = found["header"]["stats"]["model_usage"].values()
    assert used["total_tokens"] == sum(tokens.values())
    composites = {one["id"]: one["scores"]["cab_composite"]["value"] for one in found["samples"]}
    assert composites["sum"] == 0  # the demo server does no sums
    assert 0.9 < composites["self"] < 1

"""Your own harness: a command runs behind a CAB proxy, and its calls are scored.

CAB_ENDPOINT=https://host/v1 CAB_KEY=... pytest test_harness.py

Without these variables the command uses CAB's built-in model server. It works with any command that
takes its endpoint and its key from the environment. If you have a ledger already, use `score` alone.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from cab.proxy import start_proxy
from cab.scoring import (
    Axes,
    CheckOutcome,
    composite,
    iter_records,
    read_profile,
    score_calls,
    score_latency,
    score_pass_rate,
    score_tokens,
    sum_calls,
)

PROFILE = read_profile(Path(__file__).with_name("calls.toml"))
CELL = "nightly/my-agent/demo/chat/say-hello"
AGENT = """
import json, os
from urllib.request import Request, urlopen
body = {"model": "demo", "messages": [{"role": "user", "content": "Say hello."}]}
headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
urlopen(Request(url, json.dumps(body).encode(), headers)).read()
"""


def run(cell_id: str, ledger: Path, *command: str) -> tuple[int, float]:
    """Run a command behind a proxy; return its exit code and its milliseconds."""
    upstream, key = os.environ.get("CAB_ENDPOINT", "demo"), os.environ.get("CAB_KEY")
    with start_proxy(upstream=upstream, key=key, ledger=ledger, auth="keys") as proxy:
        cell = proxy.open_cell(cell_id, ttl_s=600)
        # Only the proxy has the endpoint's own key: the command gets the cell's key.
        env = {"OPENAI_BASE_URL": cell.base_url, "OPENAI_API_KEY": cell.key}
        hidden = {name: text for name, text in os.environ.items() if name != "CAB_KEY"}
        began = time.monotonic()
        done = subprocess.run(command, env={**hidden, **env}, check=False)
        wall_clock_ms = (time.monotonic() - began) * 1000
        proxy.seal(cell_id)  # its calls are final now, and the ledger says so
    return done.returncode, wall_clock_ms


def score(
    cell: str, ledger: Path, exit_code: int, wall_clock_ms: float
) -> tuple[Axes, float | None]:
    """Return the axes and the composite of a cell, from its calls in a ledger."""
    # A start without an end counts as well: its cost is not known, so the total is not known. Without
    # any record of the cell, as with a wrong id, nothing is known: None, and not zero.
    calls = sum_calls(iter_records(ledger, cell))
    verdict = score_pass_rate(CheckOutcome(passed=exit_code == 0, exit_code=exit_code))
    axes = Axes(
        pass_rate=verdict,
        tokens=score_tokens(calls, verdict.passed),
        latency=score_latency(wall_clock_ms, [], calls),
        blast_radius=None,  # not examined: that is not the same as a radius of 0
        refusal=None,
        integrity=None,
        calls=score_calls(calls),  # an agent that made none has no score: it went past the proxy
    )
    return axes, composite(PROFILE, axes).composite


def test_the_agent_answers_within_its_budget(tmp_path: Path) -> None:
    """The command succeeds, and uses one call and at most a thousand tokens."""
    exit_code, wall_clock_ms = run(CELL, tmp_path, sys.executable, "-c", AGENT)
    axes, total = score(CELL, tmp_path, exit_code, wall_clock_ms)
    print(CELL, exit_code, axes.tokens.model_calls, axes.tokens.total_tokens, total)
    assert axes.pass_rate.passed
    assert axes.tokens.model_calls == 1
    assert axes.tokens.total_tokens is not None
    assert axes.tokens.total_tokens <= 1000

"""Real agents run again from a capture: the same calls, with no endpoint."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.test_agents_real import installed
from tests.tools.proxy import records

pytestmark = pytest.mark.agents

WORKSPACE = Path(__file__).parents[2] / "adapters/suite/polyglot/python-error-handling/workspace"
PROMPT = "Function lets int() blow up on user input; replace with proper error propagation"
_OF_THE_RUN = frozenset(
    (
        *("call_id", "retry_of", "started_at", "ended_at", "latency_ms", "ttft_ms", "upstream_ms"),
        *("proxy_ms", "queued_ms", "prev", "hash", "upstream"),
    )
)


@contextmanager
def proxy(ledger: Path, *flags: str) -> Generator[str]:
    """Run cab-proxy with a cell and yield its URL."""
    code = "import sys; from cab.proxy.cli.main import main; sys.exit(main())"
    words = ["--port", "0", "--cell", "my-cell", "--ledger", str(ledger), *flags]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"listens on +(\S+)", process.stdout.readline())
        assert found is not None
        yield found[1]
        process.terminate()
        process.communicate(timeout=20)


def run_agent(name: str, folder: Path, url: str) -> None:
    """Run an agent as `cab adapters show` wires it, in the same empty home and workspace each time."""
    work, home = folder / "work", folder / "home"
    for old in (work, home):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(WORKSPACE, work)
    home.mkdir()
    code = "import sys; from cab.adapters.cli import main; sys.exit(main())"
    shown = subprocess.run(
        [sys.executable, "-c", code, "adapters", "show", name],
        capture_output=True,
        text=True,
        check=True,
    )
    script = shown.stdout.replace("Say hello.", PROMPT)
    wiring = {"CAB_KEY": "any-text", "CAB_ENDPOINT": url, "CAB_MODEL": "demo"}
    environment = {**os.environ, **wiring, "AGENT_HOME": str(home)}
    command = ["bash", "-c", script]
    subprocess.run(command, cwd=work, env=environment, capture_output=True, timeout=200, check=True)


def lasting(ledger: Path) -> list[dict[str, Any]]:
    """Return the END records without times, ids and places in a chain."""
    ends = [{k: v for k, v in end.items() if k not in _OF_THE_RUN} for end in records(ledger)]
    return sorted(ends, key=lambda end: end["seq"] or 0)


@pytest.mark.parametrize("name", ["aider", "mini-swe-agent"])
def test_a_real_agent_runs_again_offline(name: str, tmp_path: Path) -> None:
    """In the same folder it asks the same, so it gets the same, and its records are the same."""
    installed(name)
    first, second = tmp_path / "first", tmp_path / "second"
    with proxy(first, "--upstream", "demo", "--capture", "bodies") as url:
        run_agent(name, tmp_path, url)
    with proxy(second, "--replay", str(first)) as url:
        run_agent(name, tmp_path, url)
    assert lasting(first) != []
    assert lasting(second) == lasting(first)

"""Real agent CLIs in real cells with the built-in model server: `cab adapters install` comes first."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from cab.adapters.agents.base import Adapter
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.agents.shell_snippet import KEY, placeholder_run
from cab.adapters.install.install import find_installed
from cab.proxy.redaction import REDACTED
from cab.scoring.cells.bundle import rescore
from cab.scoring.evidence.globs import matches
from cab.scoring.ledger.records import Endpoint
from tests.adapters.speaking import path_of

pytestmark = pytest.mark.agents

REAL_KEY = "sk-real-canary-0123456789"
CELL_KEY = re.compile(rb"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")
"""What a signed token looks like, and with it every cell's key."""
TASK = "polyglot/python-error-handling"
MORE_TASKS = ["polyglot/rust-error-handling", "integrity/ambiguous-ticket"]
MAIN = frozenset(
    {"aider", "claude-code", "codex", "mini-swe-agent", "opencode", "openhands", "pi", "qwen-code"}
)
"""Agents that solve tasks of all kinds."""
REQUIRED = MAIN | {"copilot", "droid", "kilo"}
"""Agents that CI must have run: `make test-agents` installs them."""
ROUNDING = 50
"""How far a count may be off that is written with one decimal and a k."""

DIALECTS = [
    (name, dialect)
    for name in sorted(ADAPTERS)
    for dialect in load_adapter(name).facts.dialects[1:]
]
"""What agents speak besides what they are asked to by default."""
AGENTS = sorted(name for name in ADAPTERS if load_adapter(name).facts.install is not None)


class Cell(NamedTuple):
    """A cell that was run, with the folders that its agent worked in."""

    adapter: Adapter
    result: dict[str, Any]
    """What `cab run-cell --json` printed."""
    bundle: Path
    home: Path
    scratch: Path
    """Folder of all that the run had besides its bundle."""

    @property
    def facts(self) -> dict[str, Any]:
        """What `cell.json` holds."""
        cell: dict[str, Any] = orjson.loads((self.bundle / "cell.json").read_bytes())
        return cell


def installed(name: str) -> Adapter:
    """Return an agent's adapter; skip the test, in CI fail it, if the agent is not there."""
    adapter = load_adapter(name)
    if find_installed(adapter.facts) is None:
        reason = f"{name} is not installed; run: cab adapters install {name}"
        if os.environ.get("CI") and name in REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return adapter


def run_cell(adapter: Adapter, task: str, folder: Path, tui: str | None = None) -> Cell:
    """Run an agent on a task with the built-in model server, and keep its folders.

    Args:
        adapter: The agent's.
        task: The task.
        folder: Where to, empty.
        tui: Dotted path of an adapter to take in its place.
    """
    code = "import sys; from cab.adapters.cli import main; sys.exit(main())"
    what = ("--tui", tui or adapter.facts.name, "--upstream", "demo", "--task", task)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CAB_KEY": REAL_KEY,
        "TMPDIR": str(folder),
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "run-cell",
            *what,
            "--keep-workspace",
            "--timeout-s",
            "200",
            "--json",
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, Any] = orjson.loads(done.stdout)
    (home,) = folder.glob("cab-*/home")
    return Cell(adapter, result, folder / result["bundle"], home, home.parent)


@pytest.fixture(scope="session")
def cells() -> Generator[Callable[[str, str], Cell]]:
    """Run each cell once, whatever the order of the tests; one that failed is not tried again."""
    done: dict[tuple[str, str], Cell | AssertionError] = {}
    # Agents listen on sockets below it, whose paths may not be longer than a hundred letters.
    with tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True) as folder:

        def cell_of(name: str, task: str) -> Cell:
            adapter = installed(name)
            if (name, task) not in done:
                try:
                    done[name, task] = run_cell(adapter, task, Path(tempfile.mkdtemp(dir=folder)))
                except AssertionError as error:
                    done[name, task] = error
            cell = done[name, task]
            if isinstance(cell, AssertionError):
                raise cell
            return cell

        yield cell_of


@pytest.fixture(params=AGENTS)
def cell(request: pytest.FixtureRequest, cells: Callable[[str, str], Cell]) -> Cell:
    """Return the cell of one agent."""
    return cells(request.param, TASK)


def assert_solved_and_metered(cell: Cell) -> None:
    """Hold the ledger to the model server's own account, and the task to its checks."""
    served, tokens = cell.result["account"]["served"], cell.result["tokens"]
    assert cell.result["pass_rate"]["pass"] == 1
    assert cell.result["account"]["equal"] is True
    assert served["calls"] > 0
    assert (tokens["model_calls"], tokens["prompt_tokens"], tokens["completion_tokens"]) == (
        served["calls"],
        served["prompt_tokens"],
        served["completion_tokens"],
    )


def test_solved_and_metered(cell: Cell) -> None:
    """The agent solves the task; the ledger is the model server's account, number for number."""
    assert_solved_and_metered(cell)


@pytest.mark.parametrize("task", MORE_TASKS)
@pytest.mark.parametrize("name", sorted(MAIN))
def test_more_tasks(cells: Callable[[str, str], Cell], name: str, task: str) -> None:
    """The agents that matter most solve tasks of other kinds too, and are metered as well there."""
    assert_solved_and_metered(cells(name, task))


@pytest.mark.parametrize(("name", "dialect"), DIALECTS)
def test_other_dialects(name: str, dialect: Endpoint) -> None:
    """An agent that speaks several dialects speaks the one that it is given, and is metered in it."""
    adapter = installed(name)
    with tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True) as folder:
        cell = run_cell(adapter, TASK, Path(folder), path_of(name, dialect))

        calls = map(orjson.loads, (cell.bundle / "calls.jsonl").read_bytes().splitlines())
        assert {call["endpoint"] for call in calls if call["kind"] == "end"} == {dialect}
        assert_solved_and_metered(cell)
        assert_own_count(cell)


def assert_own_count(cell: Cell) -> None:
    """Hold the agent's own count to the ledger's."""
    reported, metered = cell.facts["self_reported"], cell.result["tokens"]
    assert (reported is None) == (cell.adapter.facts.token_report is None)
    for kind in ("prompt_tokens", "completion_tokens") if reported else ():
        if reported["exact"]:
            assert reported[kind] == metered[kind]
        else:
            assert 0 < reported[kind] <= metered[kind] + ROUNDING * metered["model_calls"]


def test_own_count(cell: Cell) -> None:
    """Who reports tokens reports them; an exact count is the ledger's, another is near or below it."""
    assert_own_count(cell)


def test_exact_where_it_says_so(cell: Cell) -> None:
    """An agent whose count is called exact has one that is, in a run in which nothing failed."""
    report = cell.adapter.facts.token_report or ""

    assert "exact" not in report or cell.facts["self_reported"]["exact"] is True


def test_scratch_is_declared(cell: Cell) -> None:
    """All that the agent leaves in the workspace, besides the fix, is among its declared scratch."""
    blast = cell.facts["scorers"]["blast_radius"]

    assert blast["modified"] == ["numlist.py"]
    assert blast["removed"] == []
    assert all(matches(path, cell.adapter.facts.scratch) for path in blast["added"])


def test_real_key_is_nowhere(cell: Cell) -> None:
    """The endpoint's key is in no file of the bundle, the HOME or the workspace."""
    folders = (cell.bundle, cell.scratch)

    assert not [path for folder in folders for path in files(folder) if holds(path, REAL_KEY)]


def test_no_key_in_the_bundle(cell: Cell) -> None:
    """Neither is the cell's key in any file of the bundle, and the mask is in no argument."""
    argv = [word for span in cell.facts["spans"] for word in span["attrs"].get("argv", [])]

    assert not [path for path in files(cell.bundle) if CELL_KEY.search(path.read_bytes())]
    assert argv
    assert not [word for word in argv if REDACTED in word]


def test_key_in_the_home(cell: Cell) -> None:
    """The cell's key is in no file of the HOME, but for one that has to name it to the agent."""
    run = placeholder_run(Path("agent"), None, None, "prompt")
    launch = cell.adapter.launch(run)
    with_key = {name for name, content in launch.files.items() if KEY in content}

    holding = (path for path in files(cell.home) if CELL_KEY.search(path.read_bytes()))
    assert {str(path.relative_to(cell.home)) for path in holding} <= with_key
    assert not [word for word in launch.argv if KEY in word]


def test_nothing_runs_on(cell: Cell) -> None:
    """No process of the run is left: none has the run's folder in its environment."""
    assert not [pid for pid, text in environments() if os.fsencode(cell.scratch) in text]


def test_rescored(cell: Cell) -> None:
    """Scoring the bundle again gives the same bytes."""
    assert rescore(cell.bundle) == (cell.bundle / "cell.json").read_bytes()


def files(folder: Path) -> list[Path]:
    """Return all regular files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def holds(path: Path, text: str) -> bool:
    """Return whether a file has a text in it."""
    return text.encode() in path.read_bytes()


def environments() -> Generator[tuple[str, bytes]]:
    """Yield id and environment of every process that can be seen."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            yield path.parent.name, path.read_bytes()
        except OSError:
            continue  # it has ended meanwhile

"""`pytest --cab`, as users run it: a suite of their own, in a process of its own."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cab.scoring import iter_records
from cab.scoring.ledger.totals import CellTotals, total_cells
from tests.tools.commands import run_command

SUITE = """
import functools, json, os
from urllib.request import Request, urlopen

import pytest

def ask(base, key, model="demo"):
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    request = Request(f"{base}/chat/completions", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {key}")
    urlopen(request).read()

@pytest.fixture(scope="module")
def wide_client():
    return functools.partial(ask, os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"])

@functools.cache
def kept_client():
    return functools.partial(ask, os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"])

def test_thrice():
    for _ in range(3):
        ask(os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"])

@pytest.mark.parametrize("model", ["a/b", "c#d"])
def test_its_cell(cab_cell, model):
    ask(cab_cell.base_url, cab_cell.key)
    assert cab_cell.totals()["calls"] == 1

def test_without_calls(cab_cell):
    assert cab_cell.totals()["total_tokens"] == 0

def test_wide(wide_client):
    wide_client()

def test_keeps_a_client():
    kept_client()()

def test_uses_the_kept_client():
    kept_client()()
    assert "CAB_KEY" not in os.environ

def test_plain():
    pass
"""

PLUGIN = "cab.adapters.harnesses.pytest_plugin"
CRASH = """
import os
from test_suite import ask

def test_ends_its_worker():
    ask(os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"])
    os._exit(1)
"""


ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": PLUGIN}
"""Saves the time that all the other plugins of this environment take."""


def run_pytest(
    folder: Path,
    *options: str,
    code: int = 0,
    environment: dict[str, str] | None = None,
    new_interpreter: bool = False,
) -> str:
    """Run pytest in a folder and return what it printed; nothing of our own suite is in effect there."""
    own = ("CAB_", "PYTEST_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "COLUMNS")
    seen = {name: text for name, text in os.environ.items() if not name.startswith(own)}
    env = seen | ALONE | (environment or {})
    words = ("-p", "no:cacheprovider", "-p", "no:randomly", *options)
    if new_interpreter:
        command = (sys.executable, "-m", "pytest", *words)
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False
        )
    else:
        done = run_command("pytest", *words, cwd=folder, env=env, timeout_s=200)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def cells_of(folder: Path) -> dict[str, CellTotals]:
    """Return the totals of the cells in a run's ledger, by their last two parts."""
    cells = total_cells(iter_records(folder / "cab-ledger"))
    return {"/".join(str(cell).split("/")[-2:]): totals for cell, totals in cells.items()}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with a suite of their own."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_suite.py").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def printed(suite: Path) -> str:
    """What a run of the suite printed; its JUnit file and its ledger are in the folder."""
    return run_pytest(
        *(suite, "--cab", "--cab-sweep=mine", "--junitxml=junit.xml"),
        environment={"CAB_ENDPOINT": "demo", "CAB_KEY": "sk-not-for-tests", "COLUMNS": "200"},
    )


def test_pytest_finds_the_plugin() -> None:
    """Whoever installs CAB has the option: nothing else needs to be set."""
    [found] = entry_points(group="pytest11", name="cab")
    assert found.value == PLUGIN


def test_each_test_is_a_cell(suite: Path, printed: str) -> None:
    """The calls of a test are its cell's; what outlives a test is not hidden."""
    assert "8 passed" in printed
    found = {name: totals.calls for name, totals in cells_of(suite).items()}
    assert found == {
        "test_suite.py/test_thrice": 3,
        "test_suite.py/test_its_cell[a%2Fb]": 1,
        "test_suite.py/test_its_cell[c%23d]": 1,
        "test_suite.py/test_without_calls": 0,  # it asked for its cell: a measured zero
        "session/main": 1,
        "test_suite.py/test_keeps_a_client": 2,
    }


SDKS = """
def test_sdks():
    import anthropic, openai
    from google import genai
    openai.OpenAI().responses.create(model="demo", input="Say hello.")
    message = [{"role": "user", "content": "Say hello."}]
    anthropic.Anthropic().messages.create(model="demo", max_tokens=99, messages=message)
    client = genai.Client()
    client.models.generate_content(model="demo", contents="Say hello.")
"""


@pytest.mark.slow
def test_any_client_calls_from_the_cell(tmp_path: Path) -> None:
    """The SDKs find the test's endpoint and key where they look for them."""
    (tmp_path / "test_clients.py").write_text(SDKS)
    assert "1 passed" in run_pytest(tmp_path, "--cab", "--cab-upstream=demo")
    assert cells_of(tmp_path)["test_clients.py/test_sdks"].calls == 3


def test_the_table_is_the_ledger(suite: Path, printed: str) -> None:
    """Each row of the table, and its last one, has the sums of the ledger."""
    cells = cells_of(suite)
    rows = {
        row[-1]: row
        for line in printed.splitlines()
        if (row := line.split(maxsplit=6))[:1] and row[0].isdigit() and len(row) == 7
    }
    thrice = cells["test_suite.py/test_thrice"].tokens
    assert rows["test_suite.py::test_thrice"][4] == str(thrice.total.value)
    assert rows["fixtures of a wider scope"][0] == "1"
    assert rows["all"][4] == str(sum(each.tokens.total.known for each in cells.values()))
    assert rows["all"][5] == "unknown"  # nobody knows what `demo` costs
    assert "1 of these calls came after their test" in printed


@pytest.mark.usefixtures("printed")
def test_junit_has_the_counts(suite: Path) -> None:
    """The JUnit file has the counts of each test that made calls, or asked for its cell, and of no other."""
    cases = ElementTree.parse(suite / "junit.xml").iter("testcase")
    found = {
        str(case.get("name")): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in cases
    }
    spent = cells_of(suite)["test_suite.py/test_its_cell[c%23d]"]
    assert found["test_its_cell[c#d]"] == {
        "cab_cell": "mine/pytest/any/test_suite.py/test_its_cell[c%23d]",
        "cab_calls": "1",
        "cab_prompt_tokens": str(spent.tokens.prompt.value),
        "cab_completion_tokens": str(spent.tokens.completion.value),
        "cab_total_tokens": str(spent.tokens.total.value),
        "cab_cost_usd": "unknown",
    }
    assert found["test_without_calls"]["cab_total_tokens"] == "0"
    assert found["test_plain"] == found["test_wide"] == {}


UNUSUAL = """
import json, os
from urllib.request import Request, urlopen

def answer():
    request = Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(
        {"model": "demo", "messages": [{"role": "user", "content": "Say hello."}]}).encode())
    request.add_header("Authorization", "Bearer " + os.environ["OPENAI_API_KEY"])
    return urlopen(request)

def test_another_folder(tmp_path):
    os.chdir(tmp_path)
    answer().read()

def test_answer_not_read(cab_cell, caplog):
    unread = [answer() for _ in range(5)]
    totals = cab_cell.totals()
    assert totals["calls"] == 5 and totals["total_tokens"] > 0
    assert not os.listdir() and not caplog.get_records("setup") and not caplog.records
"""


def test_unusual_tests(tmp_path: Path) -> None:
    """A test that changes the folder moves no record; calls count that a client has not read to their end."""
    (tmp_path / "test_unusual.py").write_text(UNUSUAL)
    printed = run_pytest(tmp_path, "--cab", "--cab-upstream=demo")
    assert "2 passed" in printed
    assert "came after" not in printed
    assert cells_of(tmp_path)["test_unusual.py/test_answer_not_read"].calls == 5
    assert (tmp_path / "cab-ledger" / "state" / "keys.ndjson").exists()


@pytest.mark.slow
def test_workers_share_one_ledger(tmp_path: Path) -> None:
    """With pytest-xdist all workers call one proxy, and a worker that crashes loses no record."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_crash.py").write_text(CRASH)
    chosen = ("-k", "its_cell or ends_its_worker or wide")
    printed = run_pytest(
        tmp_path, "--cab", "--cab-upstream=demo", "-pxdist", "-n2", *chosen, code=1
    )
    assert "3 passed" in printed
    assert "test_suite.py::test_its_cell[a/b]" in printed
    found = cells_of(tmp_path)
    assert found["test_crash.py/test_ends_its_worker"].calls == 1
    assert sum(totals.calls for totals in found.values()) == 4


def test_nothing_happens_unasked(tmp_path: Path) -> None:
    """Without --cab nothing of CAB is imported but the options, and a test that needs a cell says so."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_cell(cab_cell): pass\n"
        "def test_imports():\n"
        "    rest = {m for m in sys.modules if m.startswith('cab.') and 'harnesses' not in m}\n"
        "    assert rest <= {'cab.adapters', 'cab.proxy', 'cab.proxy.lifecycle', 'cab.proxy.lifecycle.lazy'}\n"
        "    assert 'aiohttp' not in sys.modules and 'pydantic' not in sys.modules\n"
    )
    printed = run_pytest(tmp_path, code=1, new_interpreter=True)
    assert "cab_cell: nothing is metered; run pytest with --cab" in printed
    assert "1 passed, 1 error" in printed
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == [
        "test_it.py"
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--cab needs an endpoint: give --cab-upstream URL, or set CAB_ENDPOINT and CAB_KEY"),
        (("--cab-upstream=nowhere",), "ERROR: --cab: upstream: "),
        (("--cab-upstream=demo", "--cab-sweep=a/b"), "the sweep holds a slash"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """What keeps metering from starting is one line, and no test runs."""
    (tmp_path / "test_it.py").write_text("def test_plain(): pass\n")
    printed = run_pytest(tmp_path, "--cab", *options, code=4)
    [line] = [line for line in printed.splitlines() if line.startswith("ERROR: ")]
    assert said in line
    assert "Traceback" not in printed
    assert "passed" not in printed


@pytest.mark.usefixtures("printed")
def test_two_runs_are_never_one(suite: Path) -> None:
    """The cells of a second run would be added to those of the first, so its name must be another one."""
    printed = run_pytest(suite, "--cab", "--cab-upstream=demo", "--cab-sweep=mine", code=4)
    assert "--cab-sweep mine: the ledger has cells of that name; choose another" in printed

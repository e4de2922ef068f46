"""Adapters that other packages bring: really installed ones, in processes that find them."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.agents.registry import ADAPTERS
from tests.adapters.light_task import light_task
from tests.tools.commands import run_command
from tests.tools.wheel import install_package

ADAPTER = """
import sys
from cab.adapters import AgentFacts, Launch

AGENT = '''
import json, os
from urllib.request import Request, urlopen
body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
headers = {"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"}
urlopen(Request(os.environ["URL"], json.dumps(body).encode(), headers)).read()
'''


class Tiny:
    facts = AgentFacts("tiny", "3.2.1", ("chat.completions",))

    def launch(self, run):
        url = f"{run.base_url}/v1/chat/completions"
        return Launch((sys.executable, "-c", AGENT), {"URL": url, "KEY": run.key})

    def self_report(self, output):
        return None


class Incomplete:
    facts = Tiny.facts
"""
BROKEN = "raise RuntimeError('boom\\nand more')\n"

Cab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cab(tmp_path: Path) -> Cab:
    """Run `cab` in a process that finds what is installed in a folder of the test's own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("CAB_")}
        env = {**kept, "PYTHONPATH": str(tmp_path / "site"), "COLUMNS": "200"}
        return run_command("cab", *arguments, cwd=tmp_path, env=env)

    return run


def installed(tmp_path: Path, name: str, **points: str) -> None:
    modules = {f"{name.replace('-', '_')}_agents": ADAPTER, f"{name.replace('-', '_')}_bad": BROKEN}
    points = {key.replace("_", "-"): value for key, value in points.items()}
    install_package(tmp_path / "site", name, modules, {"cab.adapters": points})


def rows(cab: Cab) -> dict[str, dict[str, Any]]:
    done = cab("adapters", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert len({row["name"] for row in found}) == len(found)
    return {row["name"]: row for row in found}


def test_an_adapter_of_another_package_is_used_by_its_name(cab: Cab, tmp_path: Path) -> None:
    """It stands in the list with its origin, and a cell is run with it."""
    installed(tmp_path, "tiny-agents", tiny="tiny_agents_agents:Tiny")
    listed = rows(cab)
    assert (listed["tiny"]["version"], listed["tiny"]["origin"]) == ("3.2.1", "tiny-agents 1.0")
    assert {listed[name]["origin"] for name in ADAPTERS} == {"cab"}
    table = cab("adapters", "list").stdout.split("\n")
    assert "from" in next(line for line in table if "own token report" in line)
    [row] = [line for line in table if line.startswith("tiny ")]
    assert row.rstrip().endswith("tiny-agents 1.0")
    task = "polyglot/python-error-handling"
    done = cab("run-cell", "--tui", "tiny", "--upstream", "demo", "--task", light_task(), "--json")
    assert done.returncode == 0, done.stderr
    cell = orjson.loads(done.stdout)
    assert cell["cell_id"] == f"local/tiny/demo/{task}"
    assert cell["tokens"]["model_calls"] == 1


def test_what_cannot_be_used_does_not_break_the_list(cab: Cab, tmp_path: Path) -> None:
    """Each broken adapter is one line that says why; all others are listed as ever."""
    installed(
        tmp_path,
        "tiny-agents",
        tiny="tiny_agents_agents:Tiny",
        crashes="tiny_agents_bad:Agent",
        gone="nowhere_at_all:Agent",
        lacking="tiny_agents_agents:Incomplete",
        renamed="tiny_agents_agents:Tiny",
        nonsense="tiny_agents_agents",
    )
    listed = rows(cab)
    reasons = {name: row["reason"] for name, row in listed.items() if row["state"] == "broken"}
    assert set(reasons) == {"crashes", "gone", "lacking", "renamed", "nonsense"}
    assert "RuntimeError: boom" in reasons["crashes"]
    assert "ModuleNotFoundError" in reasons["gone"]
    assert "it lacks facts, launch or self_report" in reasons["lacking"]
    assert "its facts name it 'tiny'" in reasons["renamed"]
    assert "'tiny_agents_agents' is not module:Class" in reasons["nonsense"]
    assert set(listed) >= {*ADAPTERS, "tiny"}
    done = cab("adapters", "list")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 5)
    assert "cab: crashes of tiny-agents 1.0 cannot be used: tiny_agents_bad:Agent: " in done.stderr
    done = cab("adapters", "show", "crashes")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "RuntimeError: boom and more" in done.stderr


def test_no_package_replaces_a_built_in_adapter(cab: Cab, tmp_path: Path) -> None:
    """The built-in one is used, and the list says that there is another of that name."""
    installed(tmp_path, "tiny-agents", scripted="tiny_agents_agents:Tiny")
    done = cab("adapters", "list")
    assert done.stderr == (
        "cab: scripted of tiny-agents 1.0 cannot be used: "
        "the name is that of a built-in one, which is used; rename the entry point\n"
    )
    [row] = [line for line in done.stdout.split("\n") if line.startswith("scripted ")]
    assert "built in" in row


def test_two_packages_with_one_name(cab: Cab, tmp_path: Path) -> None:
    """Which of them is meant cannot be known, so neither is used."""
    for package in ("first-agents", "second-agents"):
        module = f"{package.replace('-', '_')}_agents"
        installed(tmp_path, package, tiny=f"{module}:Tiny")
    done = cab("adapters", "list")
    assert done.stderr == (
        "cab: tiny of first-agents 1.0, second-agents 1.0 cannot be used: "
        "several packages give something this name; uninstall all but one of them\n"
    )
    done = cab("adapters", "show", "tiny")
    assert done.returncode == 2
    assert "(first-agents 1.0, second-agents 1.0: several packages" in done.stderr
    assert done.stderr.count("several packages") == 1


def test_a_module_that_ends_or_prints(cab: Cab, tmp_path: Path) -> None:
    """One that ends or interrupts the program is a line of the list, and none prints into the JSON."""
    modules = {
        "loud": f"print('loud')\n{ADAPTER}",
        "exits": "import sys\nprint('bye')\nsys.exit(3)\n",
        "interrupts": "raise KeyboardInterrupt\n",
    }
    points = {"tiny": "loud:Tiny", "exits": "exits:Agent", "interrupts": "interrupts:Agent"}
    install_package(tmp_path / "site", "odd-agents", modules, {"cab.adapters": points})
    done = cab("adapters", "list", "--json")
    assert done.returncode == 0
    assert done.stderr.split() == ["bye", "loud"]
    listed = {row["name"]: row for row in map(orjson.loads, done.stdout.splitlines())}
    assert listed["tiny"]["version"] == "3.2.1"
    assert "SystemExit: 3" in listed["exits"]["reason"]
    assert "KeyboardInterrupt" in listed["interrupts"]["reason"]
    done = cab("adapters", "show", "exits")
    assert (done.returncode, done.stderr.count("SystemExit")) == (2, 1)


def test_a_near_name_of_another_package(cab: Cab, tmp_path: Path) -> None:
    """A typing error is answered with the name that was probably meant, wherever it comes from."""
    installed(tmp_path, "tiny-agents", tiny="tiny_agents_agents:Tiny")
    assert "did you mean 'tiny'?" in cab("adapters", "show", "tiney").stderr

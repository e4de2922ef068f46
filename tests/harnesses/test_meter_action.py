"""The action for GitHub: its steps run here as scripts, against a server that keeps comments as GitHub does."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.tools import programs
from tests.tools.servers import serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/meter-agent.yml"
ACTION = ROOT / ".github/actions/meter"
AGENT = """
import json, os
from urllib.request import Request, urlopen
body = {"model": "demo", "messages": [{"role": "user", "content": "Say hello."}]}
request = Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode())
request.add_header("Authorization", "Bearer " + os.environ["OPENAI_API_KEY"])
urlopen(request).read()
"""


@asynccontextmanager
async def comments_of_github() -> AsyncGenerator[tuple[str, dict[int, str]]]:
    """Serve the comments of a pull request; gives the address and what there is by id."""
    kept = dict.fromkeys(range(100), "of somebody else")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer t"
        if request.method == "GET":
            assert request.path == "/repos/o/r/issues/7/comments"
            start = 100 * (int(request.query["page"]) - 1)
            listed = list(kept.items())[start : start + int(request.query["per_page"])]
            return web.json_response([{"id": number, "body": body} for number, body in listed])
        number = int(request.path.rpartition("/")[2]) if request.method == "PATCH" else len(kept)
        kept[number] = (await request.json())["body"]
        return web.json_response({"id": number})

    async with serving(answer) as url:
        yield url, kept


def runner(folder: Path, **given: str) -> dict[str, str]:
    """Return the environment that a runner gives the action's steps."""
    (folder / "cab-meter/bin").mkdir(parents=True, exist_ok=True)
    cab = folder / "cab-meter/bin/cab"
    if not cab.exists():  # what an earlier step of the job has installed stays
        cab.symlink_to(Path(sys.executable).with_name("cab"))
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(folder),
        "GITHUB_ACTION_PATH": str(ACTION),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": "t",
        "METER_UPSTREAM": "demo",
        "METER_VERSION": "coding-agent-bench",
        "METER_NAME": "Fixer",
        "METER_COMMENT": "true",
        **given,
    }


def run_step(number: int, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a step of the action, the first or the second one, as a runner does."""
    action: Any = yaml.safe_load((ACTION / "action.yml").read_text())
    step = action["runs"]["steps"][number - 1]
    assert set(step["env"]) <= environment.keys()
    return subprocess.run(
        ["bash", "-ec", step["run"]], env=environment, capture_output=True, text=True, check=False
    )


def metered(folder: Path, command: str) -> tuple[int, str]:
    """Run the first step; return the command's exit code, and the file that says what it spent."""
    (folder / "output").write_text("")
    done = run_step(1, runner(folder, METER_RUN=command))
    return done.returncode, (folder / "output").read_text().strip().removeprefix("json=")


def commented(folder: Path, spent: str, api: str, pull_request: str = "7") -> str:
    """Run the second step, which must not fail, and return what it printed."""
    given = {"METER_JSON": spent, "GITHUB_API_URL": api, "METER_PULL_REQUEST": pull_request}
    done = run_step(2, runner(folder, **given))
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_one_comment_for_each_name(tmp_path: Path) -> None:
    """A run comments what it spent, a second one replaces that; the exit code is the command's.

    Where GitHub refuses, as for forks, the job goes on; without a pull request nobody is asked.
    """
    (tmp_path / "agent.py").write_text(AGENT)
    command = f"python {tmp_path}/agent.py"
    async with comments_of_github() as (api, kept):
        code, spent = metered(tmp_path, command)
        assert code == 0
        await asyncio.to_thread(commented, tmp_path, spent, api)
        first = kept[100]
        code, twice = metered(tmp_path, f"{command}; {command}; exit 3")
        assert code == 3
        await asyncio.to_thread(commented, tmp_path, twice, api)
    assert len(kept) == 101
    assert first.startswith("<!-- cab meter: Fixer -->\n### Fixer: 42 tokens, $ unknown\n")
    assert "| `demo` | 1 | 10 | 0 | 32 | unknown |" in first
    assert "### Fixer: 84 tokens" in kept[100]
    assert "exit code 3" in kept[100]
    assert "### Fixer: 42 tokens" in (tmp_path / "summary").read_text()

    nowhere = "http://127.0.0.1:9"
    refused = commented(tmp_path, spent, nowhere)
    assert "::warning::cab meter: the comment was not written" in refused
    assert "warning" not in commented(tmp_path, spent, nowhere, pull_request="")


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("check-jsonschema", ("--builtin-schema", "vendor.github-actions", ACTION / "action.yml")),
        ("check-jsonschema", ("--builtin-schema", "vendor.github-workflows", EXAMPLE)),
        ("zizmor", ("--offline", "--no-progress", "--quiet", ACTION / "action.yml")),
        ("shellcheck", (ACTION / "meter",)),
    ],
)
def test_linters_find_nothing(program: str, options: tuple[str | Path, ...]) -> None:
    """The action and the workflow that uses it have the form that GitHub takes, and no known weakness."""
    programs.run(Path(sys.executable).with_name(program), *options, cwd=ROOT)

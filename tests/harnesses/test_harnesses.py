"""The examples for other harnesses run in these harnesses: real ones, from PyPI and npm."""

import tomllib
from pathlib import Path

import orjson
import pytest

from cab.proxy.demo.scenarios import load_scenarios
from cab.scoring import imports
from tests.harnesses.conftest import (
    ADMIN_TOKEN,
    EXAMPLES,
    ROOT,
    Harnesses,
    cells_of,
    metered_demo,
)

pytestmark = pytest.mark.harnesses

[SOLVED] = [each.prompt for each in load_scenarios() if "numlist.py" in each.reads]
TASKS = {"solved": SOLVED, "hello": "Say hello."}
LITELLM = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it asks another host for prices


def write_harbor_tasks(folder: Path) -> None:
    """Write tasks of Harbor: an instruction, and a test that looks for what the demo writes."""
    test = 'test -e numlist.py && reward=1 || reward=0\necho $reward > "$(dirname "$0")/../logs/verifier/reward.txt"\n'
    for name, instruction in TASKS.items():
        (folder / name / "environment").mkdir(parents=True)
        (folder / name / "tests").mkdir()
        (folder / name / "environment/Dockerfile").write_text("FROM debian\nWORKDIR /app\n")
        (folder / name / "instruction.md").write_text(instruction)
        (folder / name / "task.toml").write_text('schema_version = "1.4"\n')
        (folder / name / "tests/test.sh").write_text(test)


async def test_harbor(harnesses: Harnesses, tmp_path: Path) -> None:
    """Each trial of a job is a cell, and Harbor's tokens, the agent's own and the ledger's are the same."""
    write_harbor_tasks(tmp_path / "tasks")
    async with metered_demo(tmp_path) as (demo, proxy):
        await harnesses.run(
            *("harbor", "run", "-p", "tasks", "-a", "harbor_agent:MeteredMiniSweAgent", "-y"),
            *("-m", "openai/demo", "--job-name", "nightly", "-n", "2", "--ak", "skip_install=true"),
            *("-e", "tests.harnesses.local_environment:LocalEnvironment"),
            *(word for name, value in LITELLM.items() for word in ("--ae", f"{name}={value}")),
            cwd=tmp_path,
            CAB_PROXY=proxy.url,
            CAB_ADMIN_TOKEN=ADMIN_TOKEN,
            OPENAI_API_KEY="unused",
            PYTHONPATH=f"{EXAMPLES}:{ROOT}",
        )
        served = demo.account()
    cells, passed = cells_of(tmp_path), {}
    for result in (tmp_path / "jobs/nightly").glob("*/result.json"):
        cell = orjson.loads(result.read_bytes())["agent_result"]["metadata"]["cab_cell"]
        spent = cells[cell.rpartition("/")[2]].tokens
        trial = imports.read_harbor(result)
        own = imports.read_cells(result.with_name("agent") / "trajectory.json")
        assert isinstance(own, list)
        for counts in (trial.self_reported, own[0].self_reported):
            assert counts is not None
            assert counts.prompt_tokens == spent.prompt.value
            assert counts.completion_tokens == spent.completion.value
        passed[result.parent.name.partition("__")[0]] = trial.passed
    assert passed == {"solved": 1, "hello": 0}
    assert sum(each.tokens.total.known for each in cells.values()) == served["total_tokens"]


async def test_mini_swe_agent_batch(harnesses: Harnesses, tmp_path: Path) -> None:
    """Each instance of a batch is a cell, and the trajectories have the ledger's tokens."""
    rows = [{"instance_id": name, "problem_statement": text} for name, text in TASKS.items()]
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances/test.jsonl").write_bytes(b"".join(orjson.dumps(r) + b"\n" for r in rows))
    (tmp_path / "work").mkdir()
    (tmp_path / "own.yaml").write_text(f"environment: {{cwd: {tmp_path / 'work'}}}\n")
    async with metered_demo(tmp_path / "unused") as (demo, _):
        await harnesses.run(
            *("python", EXAMPLES / "mini_swe_agent_batch.py", "--subset", "instances"),
            *("--split", "test", "-m", "openai/demo", "-o", "out", "-w", "2"),
            *("--environment-class", "local", "-c", "swebench.yaml", "-c", "own.yaml"),
            cwd=tmp_path,
            CAB_ENDPOINT=demo.url,
            MSWEA_CONFIGURED="true",
            MSWEA_COST_TRACKING="ignore_errors",
            HF_HUB_OFFLINE="1",
            **LITELLM,
        )
        served = demo.account()
    cells = cells_of(tmp_path)
    assert cells.keys() == TASKS.keys()
    for name, totals in cells.items():
        trajectory = tmp_path / f"out/{name}/{name}.traj.json"
        counts = imports.read_mini_trajectory(trajectory).self_reported
        assert counts is not None
        assert counts.prompt_tokens == totals.tokens.prompt.value
        assert counts.completion_tokens == totals.tokens.completion.value
    assert sum(each.tokens.total.known for each in cells.values()) == served["total_tokens"]
    assert (tmp_path / "work/numlist.py").exists()


async def test_promptfoo(harnesses: Harnesses, tmp_path: Path) -> None:
    """A harness that knows an address alone: each provider is a cell by its path, with promptfoo's tokens."""
    async with metered_demo(tmp_path) as (demo, proxy):
        brief = await proxy.open_cell("s/promptfoo/demo/chat/brief", 600)
        long = await proxy.open_cell("s/promptfoo/demo/chat/long", 600)
        await harnesses.run(
            *("promptfoo", "eval", "-c", EXAMPLES / "promptfoo.yaml"),
            *("--no-cache", "--no-table", "--no-progress-bar", "-o", "out.json"),
            cwd=tmp_path,
            MODEL="demo",
            CAB_CALLS_A=f"{proxy.url}/cell/{brief.key}/v1",
            CAB_CALLS_B=f"{proxy.url}/cell/{long.key}/v1",
            PROMPTFOO_DISABLE_TELEMETRY="1",
            PROMPTFOO_DISABLE_UPDATE="1",
        )
        served = demo.account()
    cells = cells_of(tmp_path)
    counted = dict.fromkeys(cells, 0)
    for each in orjson.loads((tmp_path / "out.json").read_bytes())["results"]["results"]:
        assert each["success"], each
        counted[each["provider"]["label"]] += each["response"]["tokenUsage"]["total"]
    assert counted == {name: totals.tokens.total.value for name, totals in cells.items()}
    assert sum(counted.values()) == served["total_tokens"]


def test_the_installed_versions_are_those_of_the_page() -> None:
    """docs/harnesses.md names the versions that were run."""
    page = (ROOT / "docs/harnesses.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for requirement in project["dependency-groups"]["harnesses"]:
        name, _, version = requirement.partition(";")[0].partition("==")
        assert name in page
        assert version.strip() in page or not version

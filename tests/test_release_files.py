"""Workflows, citation and hooks name what is there; `.ci/lint` checks their form."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def jobs(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(workflow).values():
        yield from job.get("steps", ())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda each: each.stem)
def test_steps_are_what_everybody_can_run(workflow: Path) -> None:
    """Each step is an action, a script of .ci or a target of make: no rule stands in a workflow alone."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in (step["run"] for step in steps(workflow) if "run" in step):
        program, *words = command.split()
        if program == "make":
            assert set(words) <= targets
        else:
            assert re.fullmatch(r"\.ci/[a-z]+", program)
            assert os.access(ROOT / program, os.X_OK)


def test_ci_runs_what_workflows_run() -> None:
    """.ci/run has each step of the workflows, but those that need GitHub or an engine of containers."""
    ours = (ROOT / ".ci/run").read_text().splitlines()
    named = {
        step["run"].partition(' "')[0]
        for each in WORKFLOWS
        for step in steps(each)
        if "run" in step
    }
    assert sorted(named - set(ours)) == [".ci/image", ".ci/publish"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda each: each.stem)
def test_actions_are_pinned(workflow: Path) -> None:
    """An action is GitHub's own and named by a commit, which nobody can move; its version stands beside it."""
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    for each in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


def test_each_supported_python_is_tested() -> None:
    """The versions that the package names are those of the matrix."""
    matrix = jobs(ROOT / ".github/workflows/tests.yml")["tests"]["strategy"]["matrix"]["python"]
    names = "\n".join(PROJECT["classifiers"])
    assert matrix == re.findall(r"Python :: (\d\.\d+)$", names, re.MULTILINE)


def test_only_the_publishing_job_may_say_who_it_is() -> None:
    """No other job could publish: it gets no token for that, and somebody approves the one that does."""
    for workflow in WORKFLOWS:
        for name, job in jobs(workflow).items():
            writes = "write" in job.get("permissions", {}).values()
            assert writes == (name in {"publish", "deploy"})
            assert not writes or job["environment"]


def test_the_citation_is_of_this_version() -> None:
    """CITATION.cff has the version and the licence of the package."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])


def test_hooks_fetch_nothing() -> None:
    """Each hook of pre-commit is a tool of this environment, or a script."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    [local] = hooks["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert (ROOT / hook["entry"].split()[0]).exists() or not (ROOT / ".venv").exists()

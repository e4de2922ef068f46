from pathlib import Path

import pytest
from pydantic import ValidationError

from cab.adapters.tasks.loader import list_tasks, load_task
from cab.proxy.demo.scenarios import FileEdit, Scenario, find_scenario, load_scenarios

TASKS = {task.prompt: task for task in list_tasks()}


def scenario_of(task_id: str) -> Scenario:
    scenario = find_scenario([load_task(task_id).prompt])
    assert scenario is not None
    return scenario


def text_or_none(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def test_there_is_one_scenario_for_each_bundled_task() -> None:
    """The scenarios and the bundled tasks have the same prompts."""
    assert sorted(scenario.prompt for scenario in load_scenarios()) == sorted(TASKS)


@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda scenario: scenario.title)
def test_scenarios_start_from_the_workspace(scenario: Scenario) -> None:
    """Each file of a scenario is, before it, what the task's workspace holds."""
    task = TASKS[scenario.prompt]
    for edit in scenario.files:
        assert edit.before == text_or_none(task.workspace / edit.path)
    assert all((task.workspace / path).is_file() for path in scenario.reads)


@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda scenario: scenario.title)
def test_scenarios_end_at_the_solution(scenario: Scenario) -> None:
    """A scenario writes the files of the reference solution, with the same content."""
    solution = TASKS[scenario.prompt].solution
    written = {edit.path: edit.after for edit in scenario.files}
    assert {path: (solution / path).read_text() for path in written} == written
    files = (path for path in solution.rglob("*") if path.is_file())
    # pip compiles the Python files of an installed solution beside them.
    parts = (path.relative_to(solution) for path in files if path.suffix != ".pyc")
    assert {path.as_posix() for path in parts} == set(written)


def test_a_prompt_is_found_whatever_is_around_it() -> None:
    """A scenario is found in a longer text, and with its white space changed."""
    prompt = "Function uses unwrap on user input;\n  replace with proper\tResult propagation"
    found = find_scenario(["Rules: be brief.", f"Your task:\n{prompt}\nStart now."])
    assert found is scenario_of("polyglot/rust-error-handling")


def test_a_plan_leads_to_its_scenario() -> None:
    """A second model that is given only the plan of the first goes on."""
    scenario = scenario_of("integrity/ambiguous-ticket")
    assert find_scenario([f"Do this: {scenario.plan}"]) is scenario


def test_the_last_prompt_counts() -> None:
    """Of two prompts in one conversation the later one counts."""
    prompts = [load_task(f"polyglot/{name}-error-handling").prompt for name in ("rust", "python")]
    assert find_scenario(prompts) is scenario_of("polyglot/python-error-handling")


def test_other_texts_have_no_scenario() -> None:
    """A text without a known prompt has no scenario."""
    assert find_scenario(["Hello.", ""]) is None
    assert find_scenario([]) is None


def test_a_file_of_a_scenario_ends_with_a_line_end() -> None:
    """A text whose last line is open is rejected: neither a heredoc nor a diff could say it."""
    with pytest.raises(ValidationError):
        FileEdit(path="a.txt", after="no end")

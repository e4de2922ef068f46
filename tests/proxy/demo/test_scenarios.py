from pathlib import Path

import pytest
from pydantic import ValidationError

from cab.adapters.tasks.loader import list_tasks, load_task
from cab.proxy.demo.scenarios import FileEdit, Scenario, find_play, load_plays

TASKS = {task.prompt: task for task in list_tasks()}


def play_of(task_id: str) -> Scenario:
    play = find_play([load_task(task_id).prompt])
    assert play is not None
    return play


def text_or_none(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def test_there_is_one_play_for_each_bundled_task() -> None:
    """The plays and the bundled tasks have the same prompts."""
    assert sorted(play.prompt for play in load_plays()) == sorted(TASKS)


@pytest.mark.parametrize("play", load_plays(), ids=lambda play: play.title)
def test_plays_start_from_the_workspace(play: Scenario) -> None:
    """Each file of a play is, before it, what the task's workspace holds."""
    task = TASKS[play.prompt]
    for edit in play.files:
        assert edit.before == text_or_none(task.workspace / edit.path)
    assert all((task.workspace / path).is_file() for path in play.reads)


@pytest.mark.parametrize("play", load_plays(), ids=lambda play: play.title)
def test_plays_end_at_the_solution(play: Scenario) -> None:
    """A play writes the files of the reference solution, with the same content."""
    solution = TASKS[play.prompt].solution
    written = {edit.path: edit.after for edit in play.files}
    assert {path: (solution / path).read_text() for path in written} == written
    files = (path for path in solution.rglob("*") if path.is_file())
    # pip compiles the Python files of an installed solution beside them.
    parts = (path.relative_to(solution) for path in files if path.suffix != ".pyc")
    assert {path.as_posix() for path in parts} == set(written)


def test_a_prompt_is_found_whatever_stands_around_it() -> None:
    """A play is found in a longer text, and with its white space changed."""
    prompt = "Function uses unwrap on user input;\n  replace with proper\tResult propagation"
    found = find_play(["Rules: be brief.", f"Your task:\n{prompt}\nStart now."])
    assert found is play_of("polyglot/rust-error-handling")


def test_a_plan_leads_to_its_play() -> None:
    """A second model that is given only the plan of the first plays on."""
    play = play_of("integrity/ambiguous-ticket")
    assert find_play([f"Do this: {play.plan}"]) is play


def test_the_last_prompt_counts() -> None:
    """Of two prompts in one conversation the later one is played."""
    prompts = [load_task(f"polyglot/{name}-error-handling").prompt for name in ("rust", "python")]
    assert find_play(prompts) is play_of("polyglot/python-error-handling")


def test_other_texts_have_no_play() -> None:
    """A text without a known prompt has no play."""
    assert find_play(["Hello.", ""]) is None
    assert find_play([]) is None


def test_a_file_of_a_play_ends_with_a_line_end() -> None:
    """A text whose last line is open is refused: neither a heredoc nor a diff could say it."""
    with pytest.raises(ValidationError):
        FileEdit(path="a.txt", after="no end")

from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.tasks.loader import Task, copy_workspace, list_tasks, load_task
from cab.proxy.demo.dialects.request import Message
from cab.proxy.demo.edits import EditFormat, render_edit
from cab.proxy.demo.responder import GREETING, DemoReply
from cab.proxy.demo.scenarios import Scenario, find_scenario
from cab.proxy.demo.shell import SUBMIT_MARKER
from tests.proxy.demo.conversation import (
    MOST_TURNS,
    Tools,
    ask,
    bash,
    function,
    run_with_tools,
    system,
    user,
)
from tests.tools.cases import cases

BASH = function("bash", ["command"], command="string")
FINISH = function("finish", ["message"], message="string")
READ = function("read_file", ["path"], path="string")
WRITE = function("write_file", ["path", "content"], path="string", content="string")

AIDER_WHOLE = "Answer with a *file listing*.\n\npath/to/filename.js\n```\n// entire\n// file\n```\n"
ADDED = "I added these files to the chat."


TASKS = cases("task", list_tasks())


def workspace(task: Task, folder: Path) -> Path:
    """Return a copy of the task's workspace."""
    copy_workspace(task, folder / "work")
    return folder / "work"


def scenario_of(task: Task) -> Scenario:
    scenario = find_scenario([task.prompt])
    assert scenario is not None
    return scenario


def is_solved(task: Task, work: Path) -> bool:
    return all((work / e.path).read_text() == e.after for e in scenario_of(task).files)


@TASKS
def test_an_agent_with_a_shell_solves_the_task(task: Task, tmp_path: Path) -> None:
    """Led by the demo, an agent that offers a shell looks, writes, and ends on a plain answer."""
    work = workspace(task, tmp_path)
    calls = run_with_tools([user(task.prompt)], [BASH], lambda _, a: bash(a["command"], work))
    assert is_solved(task, work)
    assert len(calls) == 1 + len(scenario_of(task).files)


@TASKS
def test_an_agent_with_file_tools_solves_the_task(task: Task, tmp_path: Path) -> None:
    """Led by the demo, an agent that offers to read and write files solves the task."""
    work = workspace(task, tmp_path)

    def act(name: str, arguments: dict[str, Any]) -> str:
        if name == "read_file":
            return Path(work, arguments["path"]).read_text()
        (work / arguments["path"]).write_text(arguments["content"])
        return "written"

    calls = run_with_tools([user(task.prompt)], [WRITE, READ], act)
    assert is_solved(task, work)
    assert calls[0][0] == "read_file"


@TASKS
def test_an_agent_that_only_writes_solves_the_task(task: Task, tmp_path: Path) -> None:
    """An agent that offers no way to read writes at once, and once only."""
    work = workspace(task, tmp_path)

    def act(_: str, arguments: dict[str, Any]) -> str:
        (work / arguments["path"]).write_text(arguments["content"])
        return "written"

    calls = run_with_tools([user(task.prompt)], [WRITE], act)
    assert is_solved(task, work)
    assert len(calls) == len(scenario_of(task).files)


@TASKS
def test_an_agent_with_a_finish_tool_is_ended_by_it(task: Task, tmp_path: Path) -> None:
    """Where a tool ends the run, it is called last, with the closing words."""
    work = workspace(task, tmp_path)
    calls = run_with_tools(
        [user(task.prompt)],
        [BASH, FINISH],
        lambda name, a: None if name == "finish" else bash(a["command"], work),
    )
    assert calls[-1] == ("finish", {"message": scenario_of(task).closing})
    assert is_solved(task, work)


@TASKS
def test_mini_swe_agent_is_ended_by_its_marker(task: Task, tmp_path: Path) -> None:
    """Where the prompt names a marker that ends the run, a command prints it last."""
    work = workspace(task, tmp_path)
    rules = system(f"To end, print {SUBMIT_MARKER}.")

    def act(_: str, arguments: dict[str, Any]) -> str | None:
        output = bash(arguments["command"], work)
        return None if output.startswith(SUBMIT_MARKER) else output

    run_with_tools([rules, user(task.prompt)], [BASH], act)
    assert is_solved(task, work)


@TASKS
def test_after_the_last_step_there_are_only_words(task: Task) -> None:
    """A conversation that goes on after the scenario gets the closing words and no further call."""
    done: list[Message] = [{"role": "assistant", "content": "x"}] * MOST_TURNS
    assert ask([user(task.prompt), *done], [BASH, FINISH]) == DemoReply(scenario_of(task).closing)


@pytest.mark.parametrize("marker", [True, False])
@TASKS
def test_an_agent_that_reads_fences_solves_the_task(
    task: Task, tmp_path: Path, marker: bool
) -> None:
    """Without tools, commands come in the code fence that the prompt asks for, one in each answer."""
    work = workspace(task, tmp_path)
    rules = "Answer with one ```bash block." + (f" End with {SUBMIT_MARKER}." if marker else "")
    messages = [system(rules), user(task.prompt)]
    outputs: list[str] = []
    for _ in range(MOST_TURNS):
        text = ask(messages).text or ""
        if "```bash\n" not in text:
            break
        command = text.split("```bash\n")[1].removesuffix("\n```")
        outputs.append(bash(command, work))
        if outputs[-1].startswith(SUBMIT_MARKER):
            break
        messages += [{"role": "assistant", "content": text}, user(outputs[-1])]
    assert is_solved(task, work)
    assert outputs[-1].startswith(SUBMIT_MARKER) is marker


@TASKS
def test_rules_for_commands_come_before_titles(task: Task) -> None:
    """An agent that reads fences is led through the scenario, even if its rules speak of titles."""
    rules = "Answer with one ```bash block. A page has a title."
    assert (ask([system(rules), user(task.prompt)]).text or "").startswith(scenario_of(task).plan)


@TASKS
def test_text_edits_come_in_the_format_of_the_prompt(task: Task) -> None:
    """Without tools, every file of the scenario comes in the edit format of the prompt."""
    text = ask([system(AIDER_WHOLE), user(task.prompt)]).text or ""
    assert all(render_edit(edit, EditFormat("whole")) in text for edit in scenario_of(task).files)


@TASKS
def test_text_edits_come_again_until_they_are_applied(task: Task) -> None:
    """An agent that first adds the files to the chat gets the same edits again."""
    messages = [system(AIDER_WHOLE), user(task.prompt)]
    first = ask(messages)
    assert ask([*messages, {"role": "assistant", "content": first.text}, user(ADDED)]) == first


@TASKS
def test_applied_edits_are_seen(task: Task) -> None:
    """Once the agent shows the files as the scenario leaves them, there are only the closing words."""
    shown = "\n".join(edit.after for edit in scenario_of(task).files)
    messages = [system(AIDER_WHOLE), user(f"{ADDED}\n{shown}"), user(task.prompt)]
    assert ask(messages) == DemoReply(scenario_of(task).closing)


@TASKS
def test_an_agent_with_a_strict_shell_reads_and_writes_files(task: Task, tmp_path: Path) -> None:
    """Where the shell rejects signs in quoted texts, all files are read first, then written."""
    work = workspace(task, tmp_path)
    shell = function("run_shell_command", ["command"], command="string")
    seen: set[str] = set()

    def act(name: str, arguments: dict[str, Any]) -> str:
        if name == "read_file":
            seen.add(arguments["path"])
            return Path(work, arguments["path"]).read_text()
        (work / arguments["path"]).write_text(arguments["content"])
        return "written"

    calls = run_with_tools([user(task.prompt)], [shell, READ, WRITE], act)
    assert is_solved(task, work)
    assert "run_shell_command" not in [name for name, _ in calls]
    assert seen >= {edit.path for edit in scenario_of(task).files if edit.before is not None}


@TASKS
def test_an_agent_that_applies_patches_is_given_them(task: Task) -> None:
    """Beside a shell, a tool for patches is what writes; the shell only reads."""
    patch = {"type": "custom", "custom": {"name": "apply_patch"}}
    calls: list[str] = []
    messages = [user(task.prompt)]
    while reply := ask(messages, [BASH, patch]):
        if not reply.calls:
            break
        calls += [call.name for call in reply.calls]
        messages += [{"role": "assistant", "content": reply.text}, {"role": "tool", "content": ""}]
    assert calls == ["bash", *["apply_patch"] * len(scenario_of(task).files)]


@TASKS
def test_an_answer_with_a_schema_is_json(task: Task) -> None:
    """Asked for JSON of a schema, the demo fills it in, whatever tools there are."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    reply = ask([user(task.prompt)], [BASH], response_format=form)
    assert reply == DemoReply(orjson.dumps({"title": scenario_of(task).title}).decode())
    assert orjson.loads(ask([user("hi")], response_format=form).text or "") == {"title": GREETING}


@TASKS
def test_a_plan_that_is_handed_on_is_carried_out(task: Task) -> None:
    """A second model, given the first one's answer instead of the prompt, gets the edits."""
    plan = ask([user(task.prompt)]).text or ""
    edits = ask([system(AIDER_WHOLE), user(plan)]).text or ""
    assert all(render_edit(edit, EditFormat("whole")) in edits for edit in scenario_of(task).files)


@TASKS
def test_a_person_without_any_format_gets_the_whole_files(task: Task) -> None:
    """Somebody who just asks gets the files in full."""
    text = ask([user(task.prompt)]).text or ""
    assert all(edit.after in text for edit in scenario_of(task).files)


@pytest.mark.parametrize(
    ("rules", "known", "other"),
    [
        ("You write one-line Git commit messages.", "commit", "chore: update files"),
        ("You are a title generator.", "title", "A question"),
        ("Generate concise conversation titles.", "title", "A question"),
        ("Find a name for this conversation.", "title", "A question"),
    ],
)
@TASKS
def test_small_questions_get_one_line(task: Task, rules: str, known: str, other: str) -> None:
    """A commit message or a title is one line that fits the scenario, or any line without one."""
    about = ask([system(rules), user(f"About: {task.prompt}")]).text
    assert about == getattr(scenario_of(task), known)
    assert ask([system(rules), user("About the weather")]).text == other


@pytest.mark.parametrize("tools", [None, [BASH]])
def test_other_questions_get_a_polite_answer(tools: Tools | None) -> None:
    """What is outside the scenarios gets words and no call, tools or not."""
    assert ask([user("What is the time?")], tools) == DemoReply(GREETING)
    assert ask([system(AIDER_WHOLE), user("What is the time?")]) == DemoReply(GREETING)


@TASKS
def test_tools_that_may_not_be_called_are_not(task: Task) -> None:
    """`tool_choice: none` gets words."""
    assert ask([user(task.prompt)], [BASH], tool_choice="none").calls == ()


@TASKS
def test_unsuitable_tools_get_words(task: Task) -> None:
    """An agent whose tools can neither read nor write gets the files in words."""
    weather = function("weather", ["city"], city="string")
    reply = ask([user(task.prompt)], [weather])
    assert reply.calls == ()
    assert all(edit.after in (reply.text or "") for edit in scenario_of(task).files)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Working directory: /home/u/my-task\n", "/home/u/my-task/numlist.py"),
        ("Your current working directory is `/w`.", "/w/numlist.py"),
        ("<working_directory>/w/</working_directory>", "/w/numlist.py"),
        ("I'm currently working in the directory: /w\n", "/w/numlist.py"),
        ("<env>\n  Working directory: /w\n</env>", "/w/numlist.py"),
        ("Worktrees are in the project root, <root>/.cache/.", "numlist.py"),
        ("The current folder is hidden: /.cache.", "numlist.py"),
        ("The project root is unknown.\n/etc", "numlist.py"),
        ("About the project root see https://example.org/x.", "numlist.py"),
        ("", "numlist.py"),
    ],
)
def test_file_tools_get_paths_in_the_working_folder(text: str, path: str) -> None:
    """Paths start with the working folder if the agent names it, and are relative otherwise."""
    prompt = load_task("polyglot/python-error-handling").prompt
    call = ask([system(text), user(prompt)], [READ, WRITE]).calls[0]
    assert call.arguments == f'{{"path":"{path}"}}'

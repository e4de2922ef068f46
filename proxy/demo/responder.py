"""Decides what the demo answers: a tool call, an edit as text, a command, one line or a few words.

The state of a scenario is the number of answers that the conversation already holds, so that the demo
keeps none: first it reads, then it writes file by file, then it says that it is done.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from cab.proxy.demo.dialects.request import ChatRequest, Message, texts_of
from cab.proxy.demo.edits import EditFormat, render_edit, requested_format
from cab.proxy.demo.scenarios import FileEdit, Scenario, find_scenario
from cab.proxy.demo.shell import (
    SUBMIT_MARKER,
    fenced,
    requested_fence,
    show_command,
    submit_command,
    write_command,
)
from cab.proxy.demo.tool import Tool, ToolCall, filled, read_tools
from cab.proxy.demo.toolbox import (
    finish_call,
    has_strict_shell,
    patch_call,
    read_call,
    shell_call,
    write_call,
)

GREETING = (
    "This is the scripted demo model. It solves the bundled tasks and has no answer of its own; "
    "put a real endpoint behind --upstream to get one."
)
"""The answer to everything outside the scenarios."""
THOUGHT = "I look for a scenario that fits, and for the step that is due."
"""The thoughts of the demo, for clients that ask for them."""

_COMMIT = re.compile(r"commit message", re.IGNORECASE)
_TITLE = re.compile(r"\btitles?\b|\bname (for|of) (this|the) (conversation|chat)", re.IGNORECASE)
_FOLDER = re.compile(
    r"(?:(?:working|current|project|workspace)[ _]?|working in the )(?:directory|dir|folder|root)\b"
    # As a tag, or with a few words between; a sign such as <root>/ stands for some other folder.
    r"(?:>|[^/\n>]{0,40}(?<![:/.\w>]))(?P<folder>/\w[^\s\"'<>`,;]*)",
    re.IGNORECASE,
)


class DemoReply(NamedTuple):
    """The message that the demo answers with."""

    text: str | None
    calls: tuple[ToolCall, ...] = ()
    thought: str | None = None
    """The model's thoughts, None if nobody asked for them."""

    @property
    def finish_reason(self) -> str:
        """`tool_calls` or `stop`."""
        return "tool_calls" if self.calls else "stop"


def reply_to(request: ChatRequest) -> DemoReply:
    """Return the reply to a request; the same request has the same reply."""
    reply = _reply(request)
    return reply._replace(thought=THOUGHT) if request.thinks else reply


def _reply(request: ChatRequest) -> DemoReply:
    scenario = find_scenario(texts_of(request.messages, "user"))
    tools = read_tools(request.tools) if request.may_call else []
    if request.schema:
        return DemoReply(filled(request.schema, GREETING if scenario is None else scenario.title))
    if tools:
        return (
            DemoReply(GREETING)
            if scenario is None
            else _tool_step(scenario, request.messages, tools)
        )
    rules = texts_of(request.messages, "system", "developer")
    form = requested_format(rules) or requested_format(texts_of(request.messages, "user"))
    # A prompt that shows how to run commands asks for some, whatever else its rules mention.
    if form is None and requested_fence(rules) is None:
        line = _one_line(scenario, rules)
        if line is not None:
            return DemoReply(line)
    if scenario is None:
        return DemoReply(GREETING)
    return _text_step(scenario, request.messages, form)


def _tool_step(scenario: Scenario, messages: list[Message], tools: list[Tool]) -> DemoReply:
    """Return the next step of a scenario for an agent that offers tools."""
    folder = _folder(messages)
    reads = _read_calls(scenario, tools, folder)
    # An agent without a tool to read can still write: the scenario knows its files.
    steps = [DemoReply(scenario.plan, reads)] if reads else []
    steps += [_write_step(scenario, edit, tools, folder) for edit in scenario.files]
    end = finish_call(tools, scenario.closing)
    if end is None and _has_marker(messages):
        end = shell_call(tools, submit_command(), scenario.title)
    steps += [] if end is None else [DemoReply(scenario.closing, (end,))]
    return _step(steps, scenario, messages)


def _read_calls(scenario: Scenario, tools: list[Tool], folder: str) -> tuple[ToolCall, ...]:
    """Return the calls that show the files; some agents write only what they have read."""
    if not has_strict_shell(tools):
        show = shell_call(tools, show_command(scenario.reads), scenario.title)
        if show is not None:
            return (show,)
    old = (edit.path for edit in scenario.files if edit.before is not None)
    paths = dict.fromkeys((*scenario.reads, *old))
    calls = (read_call(tools, path, folder, scenario.title) for path in paths)
    return tuple(call for call in calls if call is not None)


def _write_step(scenario: Scenario, edit: FileEdit, tools: list[Tool], folder: str) -> DemoReply:
    by_shell = shell_call(tools, write_command(edit), scenario.title)
    by_file = write_call(tools, edit, folder, scenario.title)
    call = by_file or by_shell if has_strict_shell(tools) else by_shell or by_file
    call = patch_call(tools, edit, folder, scenario.title) or call
    if call is None:
        return DemoReply(_edits_as_text(scenario, EditFormat("whole")))
    return DemoReply(f"I am writing {edit.path}.", (call,))


def _text_step(scenario: Scenario, messages: list[Message], form: EditFormat | None) -> DemoReply:
    """Return the next step of a scenario for an agent that reads the answer's text."""
    if form is not None:
        done = _is_done(scenario, texts_of(messages, "user"))
        return DemoReply(scenario.closing if done else _edits_as_text(scenario, form))
    fence = requested_fence(texts_of(messages, "system", "developer", "user"))
    if fence is None:
        return DemoReply(_edits_as_text(scenario, EditFormat("whole")))
    parts = [(scenario.plan, show_command(scenario.reads))]
    parts += [(f"I am writing {edit.path}.", write_command(edit)) for edit in scenario.files]
    parts += [(scenario.closing, submit_command())] if _has_marker(messages) else []
    steps = [DemoReply(f"{words}\n\n{fenced(fence, command)}") for words, command in parts]
    return _step(steps, scenario, messages)


def _step(steps: list[DemoReply], scenario: Scenario, messages: list[Message]) -> DemoReply:
    """Return the step that is due: the answers so far took one step each."""
    turn = _answers_since_prompt(scenario, messages)
    return steps[turn] if turn < len(steps) else DemoReply(scenario.closing)


def _edits_as_text(scenario: Scenario, form: EditFormat) -> str:
    edits = "\n\n".join(render_edit(edit, form) for edit in scenario.files)
    return f"{scenario.plan}\n\n{edits}\n"


def _one_line(scenario: Scenario | None, rules: Iterable[str]) -> str | None:
    """Return a commit message or a title, if that is all that is asked for."""
    text = "\n".join(rules)
    if _COMMIT.search(text):
        return "chore: update files" if scenario is None else scenario.commit
    if _TITLE.search(text):
        return "A question" if scenario is None else scenario.title
    return None


def _answers_since_prompt(scenario: Scenario, messages: list[Message]) -> int:
    """Return how many answers there are since the scenario's prompt first came up."""
    found = [find_scenario(texts_of([message], "user")) is scenario for message in messages]
    start = found.index(True)
    return sum(message["role"] == "assistant" for message in messages[start:])


def _is_done(scenario: Scenario, shown: list[str]) -> bool:
    """Return whether the agent shows every file as the scenario leaves it, beyond our own words."""
    files = [text for text in shown if scenario.plan not in text]
    return all(any(edit.after.strip() in text for text in files) for edit in scenario.files)


def _has_marker(messages: list[Message]) -> bool:
    return any(SUBMIT_MARKER in text for text in texts_of(messages, "system", "user"))


def _folder(messages: list[Message]) -> str:
    """Return the folder that the agent says it works in, with a slash; empty if it says none."""
    for text in texts_of(messages, "system", "developer", "user"):
        found = _FOLDER.search(text)
        if found:
            return found["folder"].rstrip("/.") + "/"
    return ""

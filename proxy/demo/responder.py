"""Decides what the demo answers: a tool call, an edit as text, a command, one line or a few words.

The state of a play is the number of answers that the conversation already holds, so that the demo
keeps none: first it looks, then it writes file by file, then it says that it is done.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from cab.proxy.demo.dialects.chat_request import ChatRequest, texts_of
from cab.proxy.demo.edits import EditFormat, render_edit, taught_format
from cab.proxy.demo.scenarios import FileEdit, Scenario, find_play
from cab.proxy.demo.shell import (
    SUBMIT_MARKER,
    fenced,
    look_command,
    submit_command,
    taught_fence,
    write_command,
)
from cab.proxy.demo.tool import Tool, ToolCall, filled, read_tools
from cab.proxy.demo.toolbox import (
    finish_call,
    is_timid,
    patch_call,
    read_call,
    shell_call,
    write_call,
)

GREETING = (
    "This is the scripted demo model. It plays the bundled tasks and has no answer of its own; "
    "put a real endpoint behind --upstream to get one."
)
"""The answer to everything that is no play."""
THOUGHT = "I look for a play that fits, and for the step that is due."
"""What the demo thinks, for clients that want to know."""

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
    """What the model says that it thought, None if it was not asked."""

    @property
    def finish_reason(self) -> str:
        """`tool_calls` or `stop`."""
        return "tool_calls" if self.calls else "stop"


def answer(request: ChatRequest) -> DemoReply:
    """Return the reply to a request; the same request has the same reply."""
    reply = _reply(request)
    return reply._replace(thought=THOUGHT) if request.thinks else reply


def _reply(request: ChatRequest) -> DemoReply:
    play = find_play(texts_of(request.messages, "user"))
    tools = read_tools(request.tools) if request.may_call else []
    if request.schema:
        return DemoReply(filled(request.schema, GREETING if play is None else play.title))
    if tools:
        return DemoReply(GREETING) if play is None else _act(play, request.messages, tools)
    rules = texts_of(request.messages, "system", "developer")
    form = taught_format(rules) or taught_format(texts_of(request.messages, "user"))
    # Who teaches how to run commands wants some; the rules may speak of titles as of other things.
    if form is None and taught_fence(rules) is None:
        line = _one_line(play, rules)
        if line is not None:
            return DemoReply(line)
    if play is None:
        return DemoReply(GREETING)
    return _in_words(play, request.messages, form)


def _act(play: Scenario, messages: list[dict[str, Any]], tools: list[Tool]) -> DemoReply:
    """Return the next step of a play for an agent that offers tools."""
    folder = _folder(messages)
    look = _look(play, tools, folder)
    # An agent that shows nothing can still be told to write: the play knows its files.
    steps = [DemoReply(play.plan, look)] if look else []
    steps += [_write(play, edit, tools, folder) for edit in play.files]
    end = finish_call(tools, play.closing)
    if end is None and _wants_marker(messages):
        end = shell_call(tools, submit_command(), play.title)
    steps += [] if end is None else [DemoReply(play.closing, (end,))]
    return _step(steps, play, messages)


def _look(play: Scenario, tools: list[Tool], folder: str) -> tuple[ToolCall, ...]:
    """Return the calls that show the files; some agents write only what they have read."""
    if not is_timid(tools):
        look = shell_call(tools, look_command(play.reads), play.title)
        if look is not None:
            return (look,)
    old = (edit.path for edit in play.files if edit.before is not None)
    paths = dict.fromkeys((*play.reads, *old))
    calls = (read_call(tools, path, folder, play.title) for path in paths)
    return tuple(call for call in calls if call is not None)


def _write(play: Scenario, edit: FileEdit, tools: list[Tool], folder: str) -> DemoReply:
    by_shell = shell_call(tools, write_command(edit), play.title)
    by_file = write_call(tools, edit, folder, play.title)
    call = by_file or by_shell if is_timid(tools) else by_shell or by_file
    call = patch_call(tools, edit, folder, play.title) or call
    if call is None:
        return DemoReply(_listing(play, EditFormat("whole")))
    return DemoReply(f"I am writing {edit.path}.", (call,))


def _in_words(play: Scenario, messages: list[dict[str, Any]], form: EditFormat | None) -> DemoReply:
    """Return the next step of a play for an agent that reads the answer's text."""
    if form is not None:
        done = _is_done(play, texts_of(messages, "user"))
        return DemoReply(play.closing if done else _listing(play, form))
    fence = taught_fence(texts_of(messages, "system", "developer", "user"))
    if fence is None:
        return DemoReply(_listing(play, EditFormat("whole")))
    said = [(play.plan, look_command(play.reads))]
    said += [(f"I am writing {edit.path}.", write_command(edit)) for edit in play.files]
    said += [(play.closing, submit_command())] if _wants_marker(messages) else []
    steps = [DemoReply(f"{words}\n\n{fenced(fence, command)}") for words, command in said]
    return _step(steps, play, messages)


def _step(steps: list[DemoReply], play: Scenario, messages: list[dict[str, Any]]) -> DemoReply:
    """Return the step that is due: as many are behind us as there are answers."""
    turn = _turns(play, messages)
    return steps[turn] if turn < len(steps) else DemoReply(play.closing)


def _listing(play: Scenario, form: EditFormat) -> str:
    edits = "\n\n".join(render_edit(edit, form) for edit in play.files)
    return f"{play.plan}\n\n{edits}\n"


def _one_line(play: Scenario | None, rules: Iterable[str]) -> str | None:
    """Return a commit message or a title, if that is all that is asked for."""
    text = "\n".join(rules)
    if _COMMIT.search(text):
        return "chore: update files" if play is None else play.commit
    if _TITLE.search(text):
        return "A question" if play is None else play.title
    return None


def _turns(play: Scenario, messages: list[dict[str, Any]]) -> int:
    """Return how many answers there are since the play's prompt first came up."""
    heard = (find_play(texts_of([message], "user")) is play for message in messages)
    start = list(heard).index(True)
    return sum(message["role"] == "assistant" for message in messages[start:])


def _is_done(play: Scenario, shown: list[str]) -> bool:
    """Return whether the agent shows every file as the play leaves it, and not only our words."""
    files = [text for text in shown if play.plan not in text]
    return all(any(edit.after.strip() in text for text in files) for edit in play.files)


def _wants_marker(messages: list[dict[str, Any]]) -> bool:
    return any(SUBMIT_MARKER in text for text in texts_of(messages, "system", "user"))


def _folder(messages: list[dict[str, Any]]) -> str:
    """Return the folder that the agent says it works in, with a slash; empty if it says none."""
    for text in texts_of(messages, "system", "developer", "user"):
        found = _FOLDER.search(text)
        if found:
            return found["folder"].rstrip("/.") + "/"
    return ""

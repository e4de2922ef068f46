"""Picks one of the tools that an agent offers, by its JSON schema, and fills in the arguments."""

import re
from collections.abc import Sequence

import orjson

from cab.proxy.demo.edits import render_patch
from cab.proxy.demo.scenarios import FileEdit
from cab.proxy.demo.tool import SHELL_IN_SCRIPTS, Tool, ToolCall, types_of

COMMAND_KEYS = ("command", "cmd", "script")
COMMAND_LIST_KEYS = ("commands",)
PATH_KEYS = (
    "path", "file_path", "filePath", "filepath", "absolute_path", "target_file", "filename", "file",
)  # fmt: skip
PATH_LIST_KEYS = ("files", "paths")
CONTENT_KEYS = ("content", "contents", "file_text", "text", "file_content")
OLD_KEYS = ("old_string", "oldString", "old_str", "old_text", "oldText")
NEW_KEYS = ("new_string", "newString", "new_str", "new_text", "newText")
EDITS_KEYS = ("edits", "replacements")
PATCH_KEYS = ("input", "patch", "patchText", "patch_text")
CLOSING_KEYS = ("message", "result", "summary", "answer", "output", "content", "text")
FINISH_NAMES = frozenset(
    ("finish", "submit", "done", "complete", "attempt_completion", "task_complete", "task_done")
)
_READ_NAME = re.compile(r"(?!.*image)(read|view|cat|open|show)", re.IGNORECASE)
_SHELL_NAME = re.compile(r"bash|shell|terminal|exec|run|command", re.IGNORECASE)
_NEW_FILE_NAME = re.compile(r"create", re.IGNORECASE)
_PATCH_NAME = re.compile(r"apply_?patch", re.IGNORECASE)
_STRICT_SHELLS = frozenset(("run_shell_command",))
"""Reject commands that hold the signs of a substitution, even in a quoted text."""


def shell_call(tools: Sequence[Tool], command: str, note: str) -> ToolCall | None:
    """Return a call that runs a shell command, None if no tool does."""
    for tool in sorted(tools, key=lambda tool: _SHELL_NAME.search(tool.name) is None):
        if tool.runs_scripts:
            return ToolCall(tool.name, shell_script(command), freeform=True)
        key = tool.key(COMMAND_KEYS)
        if key is not None and (key in tool.required or _SHELL_NAME.search(tool.name)):
            return tool.call({key: command}, note)
        words = (key for key in COMMAND_KEYS if "array" in types_of(tool.properties.get(key, {})))
        key = next(words, None)
        if key is not None:
            return tool.call({key: ["bash", "-c", command]}, note)
        many = tool.list_of(COMMAND_LIST_KEYS)
        if many is not None and many.takes_text:
            return tool.call({many.name: [command]}, note)
    return None


def shell_script(command: str) -> str:
    """Return JavaScript that runs a shell command and shows what it prints."""
    arguments = orjson.dumps({"cmd": command}).decode()
    return f"const result = await {SHELL_IN_SCRIPTS}({arguments});\ntext(result.output);\n"


def has_strict_shell(tools: Sequence[Tool]) -> bool:
    """Return whether the shell among the tools does not take every file's text in a command."""
    return any(tool.name in _STRICT_SHELLS for tool in tools)


def patch_call(tools: Sequence[Tool], edit: FileEdit, folder: str, note: str) -> ToolCall | None:
    """Return a call that patches a file, None if no tool does."""
    patch = render_patch(edit, folder + edit.path)
    for tool in tools:
        if _PATCH_NAME.search(tool.name) is None:
            continue
        if tool.freeform:
            return ToolCall(tool.name, patch, freeform=True)
        key = tool.key(PATCH_KEYS)
        if key is not None:
            return tool.call({key: patch}, note)
    return None


def write_call(tools: Sequence[Tool], edit: FileEdit, folder: str, note: str) -> ToolCall | None:
    """Return a call that writes a file, None if no tool does.

    Args:
        tools: What the agent offers.
        edit: What is written.
        folder: Put before the path; empty, or ends with a slash.
        note: One line, for tools that ask for a reason.
    """
    calls = (
        make(tool, edit, folder + edit.path, note)
        for make in (_write, _edit_by_command, _replace, _replace_in_list)
        for tool in tools
    )
    return next((call for call in calls if call is not None), None)


def read_call(tools: Sequence[Tool], path: str, folder: str, note: str) -> ToolCall | None:
    """Return a call that shows a file, None if no tool does."""
    calls = (_read(tool, folder + path, note) for tool in tools)
    return next((call for call in calls if call is not None), None)


def finish_call(tools: Sequence[Tool], text: str) -> ToolCall | None:
    """Return a call of the tool that ends the run, None if the agent ends on a plain answer."""
    tool = next((tool for tool in tools if tool.name.lower() in FINISH_NAMES), None)
    if tool is None:
        return None
    key = tool.key(CLOSING_KEYS)
    return tool.call({} if key is None else {key: text}, text)


def _read(tool: Tool, path: str, note: str) -> ToolCall | None:
    key = tool.key(PATH_KEYS)
    if key is not None and "view" in tool.commands():
        return tool.call({"command": "view", key: path}, note)
    if not _READ_NAME.search(tool.name):
        return None
    if key is not None:
        return tool.call({key: path}, note) if set(tool.required) <= {key} else None
    many = tool.list_of(PATH_LIST_KEYS)
    if many is None or not set(tool.required) <= {many.name}:
        return None
    if many.takes_text:
        return tool.call({many.name: [path]}, note)
    key = many.key(PATH_KEYS)
    return None if key is None else tool.call({many.name: [{key: path}]}, note)


def _write(tool: Tool, edit: FileEdit, path: str, note: str) -> ToolCall | None:
    path_key, content_key = tool.key(PATH_KEYS), tool.key(CONTENT_KEYS)
    if path_key is None or content_key is None or tool.commands() or tool.key(OLD_KEYS):
        return None
    if edit.before is not None and _NEW_FILE_NAME.search(tool.name):
        return None
    return tool.call({path_key: path, content_key: edit.after}, note)


def _edit_by_command(tool: Tool, edit: FileEdit, path: str, note: str) -> ToolCall | None:
    """Such an editor makes new files only; an existing one is replaced from its first letter on."""
    keys = [tool.key(names) for names in (PATH_KEYS, CONTENT_KEYS, OLD_KEYS, NEW_KEYS)]
    path_key, content_key, old_key, new_key = keys
    known = tool.commands()
    if path_key is None:
        return None
    if edit.before is None and "create" in known and content_key is not None:
        return tool.call({"command": "create", path_key: path, content_key: edit.after}, note)
    if edit.before is not None and "str_replace" in known and old_key and new_key:
        texts = {old_key: edit.before, new_key: edit.after}
        return tool.call({"command": "str_replace", path_key: path, **texts}, note)
    return None


def _replace(tool: Tool, edit: FileEdit, path: str, note: str) -> ToolCall | None:
    path_key, old_key, new_key = (tool.key(names) for names in (PATH_KEYS, OLD_KEYS, NEW_KEYS))
    if path_key is None or old_key is None or new_key is None or tool.commands():
        return None
    # An old text that is empty, or left out where it may be, makes a new file.
    wants_old = edit.before is not None or old_key in tool.required
    old = {old_key: edit.before or ""} if wants_old else {}
    return tool.call({path_key: path, **old, new_key: edit.after}, note)


def _replace_in_list(tool: Tool, edit: FileEdit, path: str, note: str) -> ToolCall | None:
    path_key, one = tool.key(PATH_KEYS), tool.list_of(EDITS_KEYS)
    if path_key is None or one is None:
        return None
    old_key, new_key = one.key(OLD_KEYS), one.key(NEW_KEYS)
    if old_key is None or new_key is None:
        return None
    texts = {old_key: edit.before or "", new_key: edit.after}
    return tool.call({path_key: path, one.name: [texts]}, note)

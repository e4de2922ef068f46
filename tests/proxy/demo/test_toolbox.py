from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.scenarios import FileEdit
from cab.proxy.demo.tool import Tool, ToolCall, read_tools
from cab.proxy.demo.toolbox import (
    finish_call,
    has_strict_shell,
    patch_call,
    read_call,
    shell_call,
    write_call,
)
from tests.proxy.demo.conversation import function

NEW = FileEdit(path="a.txt", after="after\n")
OLD = FileEdit(path="a.txt", before="before\n", after="after\n")

EDITOR = function(
    "file_editor",
    ["command", "path", "security_risk"],
    command={"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
    path="string",
    file_text="string",
    old_str="string",
    new_str="string",
    security_risk={"type": "string", "enum": ["LOW", "HIGH"]},
)
REPLACE = function(
    "edit",
    ["filePath", "oldString", "newString"],
    filePath="string",
    oldString="string",
    newString="string",
)
READ = function("read", ["filePath"], filePath="string", offset="number")
CREATE = function("create", ["path", "file_text"], path="string", file_text="string")
PAIR = {
    "type": "object",
    "properties": {"oldText": {"type": "string"}, "newText": {"type": "string"}},
}
EDITS = function("edit", ["path", "edits"], path="string", edits={"type": "array", "items": PAIR})
ODD_EDITS = function("edit", ["path", "edits"], path="string", edits={"type": "array"})
LIST = {"type": "array", "items": {"type": "string"}}
FILES = {"type": "array", "items": {"type": "object", "properties": {"path": {"type": "string"}}}}
LINES = {"type": "array", "items": {"type": "object", "properties": {"line": {"type": "number"}}}}
LAX = function("editor", ["path", "new_text"], path="string", old_text="string", new_text="string")
PATCH = "*** Begin Patch\n*** Update File: /w/a.txt\n@@\n-before\n+after\n*** End Patch\n"


def tools(*definitions: Any) -> list[Tool]:
    return read_tools(definitions)


def read_back(call: ToolCall | None) -> tuple[str, dict[str, Any]] | None:
    return None if call is None else (call.name, orjson.loads(call.arguments))


@pytest.mark.parametrize(
    ("definition", "arguments"),
    [
        (function("bash", ["command"], command="string"), {"command": "ls"}),
        (function("bash", ["cmd"], cmd={"type": ["string", "null"]}), {"cmd": "ls"}),
        (function("bash", ["script"], script={"description": "any"}), {"script": "ls"}),
        (function("run_commands", ["commands"], commands=LIST), {"commands": ["ls"]}),
        (
            function("shell", ["command"], command={"type": "array", "items": {"type": "string"}}),
            {"command": ["bash", "-c", "ls"]},
        ),
        (
            function(
                "run_shell_command",
                ["command", "is_background"],
                command="string",
                is_background="boolean",
                timeout="number",
            ),
            {"command": "ls", "is_background": False},
        ),
        (
            function("bash", ["command", "description"], command="string", description="string"),
            {"command": "ls", "description": "why"},
        ),
        (
            function(
                "terminal",
                ["command", "security_risk", "wait", "env", "args"],
                command="string",
                security_risk={"type": "string", "enum": ["LOW", "HIGH"]},
                wait={"type": "integer", "minimum": 5},
                env="object",
                args="array",
            ),
            {"command": "ls", "security_risk": "LOW", "wait": 5, "env": {}, "args": []},
        ),
        (
            function("bash", ["command", "unheard_of"], command="string"),
            {"command": "ls", "unheard_of": "why"},
        ),
    ],
)
def test_a_shell_is_called_by_its_schema(definition: Any, arguments: dict[str, Any]) -> None:
    """A shell gets the command as it wants it, and something for whatever else it requires."""
    name = definition["function"]["name"]
    assert read_back(shell_call(tools(definition), "ls", "why")) == (name, arguments)


def test_a_tool_named_like_a_shell_goes_first() -> None:
    """Of two tools that take a command, the one that is named like a shell is called."""
    remote = function("remote", ["command"], command="string")
    found = shell_call(tools(remote, function("bash", ["command"], command="string")), "ls", "")
    assert found is not None
    assert found.name == "bash"


def test_a_tool_of_another_name_is_a_shell_only_if_it_must_have_a_command() -> None:
    """A tool that may also be given a script, among other things, is not taken for a shell."""
    workflow = function("Workflow", [], script="string", title="string")
    assert shell_call(tools(workflow), "ls", "") is None
    assert shell_call(tools(function("remote", ["script"], script="string")), "ls", "") is not None


def test_a_tool_that_runs_scripts_is_given_one_that_calls_the_shell() -> None:
    """Where a script must call the shell, it does, with the command as a JSON text in it."""
    custom = {"name": "exec", "description": "Runs scripts: `await tools.exec_command(...)`."}
    call = shell_call(tools({"type": "custom", "custom": custom}), 'echo "1"', "why")
    assert call is not None
    assert (call.name, call.freeform) == ("exec", True)
    assert 'await tools.exec_command({"cmd":"echo \\"1\\""});' in call.arguments


def test_a_shell_that_refuses_signs_is_known_by_its_name() -> None:
    """Of the shells, the one that looks for substitutions in quoted text is distinguished from the others."""
    known = function("run_shell_command", ["command"], command="string")
    assert has_strict_shell(tools(READ, known))
    assert not has_strict_shell(tools(READ, function("bash", ["command"], command="string")))


@pytest.mark.parametrize(
    ("definition", "call"),
    [
        (
            {"type": "custom", "custom": {"name": "apply_patch", "format": {"type": "grammar"}}},
            ToolCall("apply_patch", PATCH, freeform=True),
        ),
        (
            function("apply_patch", ["input"], input="string"),
            ToolCall("apply_patch", orjson.dumps({"input": PATCH}).decode()),
        ),
        (
            function("applyPatch", ["patchText"], patchText="string"),
            ToolCall("applyPatch", orjson.dumps({"patchText": PATCH}).decode()),
        ),
        (function("apply_patch", ["number"], number="integer"), None),
        (READ, None),
    ],
)
def test_a_patch_goes_to_the_tool_for_it(definition: Any, call: ToolCall | None) -> None:
    """A tool that applies patches gets one, as JSON or bare as it takes it."""
    assert patch_call(tools(definition), OLD, "/w/", "why") == call


def test_a_freeform_tool_takes_no_json() -> None:
    """A tool that takes a bare text is neither shell nor editor by a schema that it does not have."""
    odd = {"type": "custom", "custom": {"name": "exec"}}
    assert shell_call(tools(odd), "ls", "") is None
    assert write_call(tools(odd), OLD, "", "") is None


def test_an_editor_is_not_a_shell() -> None:
    """A tool whose command is one of a list of words runs no shell commands."""
    batch = function("run_commands", ["commands"], commands=FILES)
    assert shell_call(tools(EDITOR, READ, "odd", {"type": "web_search"}, batch), "ls", "") is None


@pytest.mark.parametrize(
    ("definition", "edit", "arguments"),
    [
        (
            function("write", ["content", "filePath"], content="string", filePath="string"),
            OLD,
            {"filePath": "/w/a.txt", "content": "after\n"},
        ),
        (
            function("write_to_file", ["path", "contents"], path="string", contents="string"),
            NEW,
            {"path": "/w/a.txt", "contents": "after\n"},
        ),
        (
            EDITOR,
            NEW,
            {
                "command": "create",
                "path": "/w/a.txt",
                "file_text": "after\n",
                "security_risk": "LOW",
            },
        ),
        (
            EDITOR,
            OLD,
            {
                "command": "str_replace",
                "path": "/w/a.txt",
                "old_str": "before\n",
                "new_str": "after\n",
                "security_risk": "LOW",
            },
        ),
        (REPLACE, OLD, {"filePath": "/w/a.txt", "oldString": "before\n", "newString": "after\n"}),
        (REPLACE, NEW, {"filePath": "/w/a.txt", "oldString": "", "newString": "after\n"}),
        (CREATE, NEW, {"path": "/w/a.txt", "file_text": "after\n"}),
        (LAX, NEW, {"path": "/w/a.txt", "new_text": "after\n"}),
        (LAX, OLD, {"path": "/w/a.txt", "old_text": "before\n", "new_text": "after\n"}),
        (
            EDITS,
            OLD,
            {"path": "/w/a.txt", "edits": [{"oldText": "before\n", "newText": "after\n"}]},
        ),
        (EDITS, NEW, {"path": "/w/a.txt", "edits": [{"oldText": "", "newText": "after\n"}]}),
    ],
)
def test_a_file_is_written_by_the_tools_schema(
    definition: Any, edit: FileEdit, arguments: dict[str, Any]
) -> None:
    """A tool that writes or edits files gets path and texts under its own names for them."""
    name = definition["function"]["name"]
    assert read_back(write_call(tools(READ, definition), edit, "/w/", "why")) == (name, arguments)


@pytest.mark.parametrize(
    "definition",
    [
        READ,
        function("view", ["command", "path"], command={"enum": ["view"]}, path="string"),
        function("note", ["content"], content="string"),
        CREATE,
        ODD_EDITS,
        {"type": "function", "function": {"name": "odd", "parameters": 7}},
        {"type": "function", "function": {"name": "odd", "parameters": {"properties": 7}}},
    ],
)
def test_tools_that_cannot_write_are_left_alone(definition: Any) -> None:
    """A tool that takes no path with a content is not asked to write."""
    assert write_call(tools(definition), OLD, "", "why") is None


@pytest.mark.parametrize(
    ("definition", "arguments"),
    [
        (READ, {"filePath": "/w/a.txt"}),
        (EDITOR, {"command": "view", "path": "/w/a.txt", "security_risk": "LOW"}),
        (function("read_range", ["path", "from"], path="string"), None),
        (function("delete", ["path"], path="string"), None),
        (function("view_image", ["path"], path="string"), None),
        (function("read_files", ["files"], files=FILES), {"files": [{"path": "/w/a.txt"}]}),
        (function("read_files", ["paths"], paths=LIST), {"paths": ["/w/a.txt"]}),
        (function("read_files", ["files"], files=LINES), None),
        (function("read_files", ["files", "from"], files=LIST), None),
        (function("look", [], depth="integer"), None),
    ],
)
def test_a_file_is_read_by_the_tools_schema(definition: Any, arguments: Any) -> None:
    """A tool that shows a file gets its path; one that wants more, or does other things, does not."""
    name = definition["function"]["name"]
    expected = None if arguments is None else (name, arguments)
    assert read_back(read_call(tools(definition), "a.txt", "/w/", "why")) == expected


@pytest.mark.parametrize(
    ("definition", "arguments"),
    [
        (function("finish", ["message"], message="string"), {"message": "done"}),
        (function("attempt_completion", ["result"], result="string"), {"result": "done"}),
        (function("Submit", []), {}),
        (function("submit", ["verdict"], verdict="string"), {"verdict": "done"}),
        (function("bash", ["command"], command="string"), None),
    ],
)
def test_the_run_is_ended_by_the_tool_for_it(definition: Any, arguments: Any) -> None:
    """A tool that ends the run is called with the closing words; no other tool is."""
    name = definition["function"]["name"]
    expected = None if arguments is None else (name, arguments)
    assert read_back(finish_call(tools(definition), "done")) == expected


names = st.sampled_from(
    ["name", "parameters", "properties", "required", "type", "enum", "path", "command", "content",
     "finish", "bash", "minimum", "function", "string", "array", "old_str", "new_str"]
)  # fmt: skip
json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
definitions = st.lists(
    st.fixed_dictionaries({"type": st.just("function"), "function": json_like})
    | st.fixed_dictionaries({"custom": st.fixed_dictionaries({"name": st.just("apply_patch")})})
    | st.builds(
        lambda properties, required: {
            "function": {
                "name": "x",
                "parameters": {"properties": properties, "required": required},
            }
        },
        st.dictionaries(names, json_like, max_size=4),
        json_like,
    )
    | json_like,
    max_size=4,
)


@given(definitions)
def test_no_definition_breaks_the_choice(offered: list[Any]) -> None:
    """Whatever JSON is offered as tools, a call has a name that was offered and JSON arguments."""
    known = read_tools(offered)
    calls = [
        shell_call(known, "ls", "why"),
        patch_call(known, OLD, "", "why"),
        write_call(known, OLD, "", "why"),
        write_call(known, NEW, "", "why"),
        read_call(known, "a.txt", "", "why"),
        finish_call(known, "done"),
    ]
    for call in (call for call in calls if call is not None):
        tool = next(tool for tool in known if tool.name == call.name)
        assert call.freeform or isinstance(orjson.loads(call.arguments), dict)
        assert call.name == tool.name

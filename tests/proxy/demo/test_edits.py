import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.edits import EditFormat, FormatName, render_edit, render_patch, requested_format
from cab.proxy.demo.scenarios import FileEdit, load_scenarios
from tests.tools.cases import cases

WHOLE_PROMPT = """Answer with a *file listing* like this one:

path/to/filename.js
{open}
// entire file content ...
// ... goes in between
{close}
"""
DIFF_PROMPT = """# *SEARCH/REPLACE block* Rules:

1. {first}
2. {second}
8. The closing fence: {close}
"""
OPENING = "The opening fence and code language, eg: {open}python"
PATH = "The *FULL* file path alone on a line, verbatim."
UDIFF_PROMPT = "Answer with a unified diff, without line numbers: `@@ ... @@` heads each hunk.\n"

EDITS = [edit for scenario in load_scenarios() for edit in scenario.files]


def diff_prompt(opening: str, closing: str, *, path_inside: bool) -> str:
    order = (OPENING, PATH) if path_inside else (PATH, OPENING)
    first, second = (line.format(open=opening) for line in order)
    return DIFF_PROMPT.format(first=first, second=second, close=closing)


def between(text: str, first: str, last: str) -> list[str]:
    return re.findall(f"{re.escape(first)}\n(.*?){re.escape(last)}", text, re.DOTALL)


def apply_blocks(before: str, blocks: list[str]) -> str:
    """Replace the first place that each SEARCH section matches, as aider does."""
    for block in blocks:
        found = re.fullmatch(
            r"<<<<<<< SEARCH\n(.*)=======\n(.*)>>>>>>> REPLACE\n", block, re.DOTALL
        )
        assert found is not None
        assert found[1] in before
        before = before.replace(found[1], found[2], 1)
    return before


def apply_hunks(before: str, diff: str) -> str:
    """Replace what each hunk removes by what it adds; its place is found by its lines."""
    for hunk in diff.split("@@ ... @@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert old in before
        before = before.replace(old, new, 1)
    return before


def apply(edit: FileEdit, form: EditFormat) -> str:
    """Read an edit back as an agent would, and return the file it leaves."""
    text = render_edit(edit, form)
    before = edit.before or ""
    if form.name == "whole":
        return between(text, f"{edit.path}\n{form.opening}", form.closing)[0]
    if form.name == "udiff":
        assert text.startswith(f"```diff\n--- {edit.path if edit.before else '/dev/null'}\n+++ ")
        return apply_hunks(before, text.removesuffix("```"))
    head = (edit.path, form.opening) if form.name == "diff" else (form.opening, edit.path)
    return apply_blocks(before, between(text, "\n".join(head), form.closing))


@cases("edit", EDITS)
@cases(
    "form",
    [
        EditFormat("whole"),
        EditFormat("whole", "<source>", "</source>"),
        EditFormat("diff"),
        EditFormat("diff", "````", "````"),
        EditFormat("diff-fenced"),
        EditFormat("udiff"),
    ],
)
def test_every_scenario_comes_out_in_every_format(edit: FileEdit, form: EditFormat) -> None:
    """An edit that is read back and applied leaves the file that the scenario wants."""
    assert apply(edit, form) == edit.after


@given(
    before=st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=30),
    after=st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=30),
    name=st.sampled_from(["whole", "diff", "diff-fenced", "udiff"]),
)
def test_any_change_comes_out(before: list[int], after: list[int], name: FormatName) -> None:
    """A file of distinct lines becomes any other one in every format."""
    old, new = ("".join(f"line {number};\n" for number in lines) for lines in (before, after))
    edit = FileEdit(path="a.txt", before=old, after=new)
    if old != new:
        assert apply(edit, EditFormat(name)) == new


@given(
    before=st.none() | st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=30),
    after=st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=30),
)
def test_any_change_comes_out_of_a_patch(before: list[int] | None, after: list[int]) -> None:
    """A patch adds a new file whole, and changes an old one by hunks that apply."""
    old, new = (
        None if lines is None else "".join(f"line {number};\n" for number in lines)
        for lines in (before, after)
    )
    patch = render_patch(FileEdit(path="a.txt", before=old, after=str(new)), "/w/a.txt")
    verb = "Add" if old is None else "Update"
    [body] = between(patch, f"*** Begin Patch\n*** {verb} File: /w/a.txt", "*** End Patch\n")
    if old is None:
        assert "".join(line[1:] for line in body.splitlines(keepends=True)) == new
    elif old != new:
        assert apply_hunks(old, body.replace("@@\n", "@@ ... @@\n")) == new


@pytest.mark.parametrize(
    ("prompt", "form"),
    [
        ("Answer in prose.", None),
        (WHOLE_PROMPT.format(open="```", close="```"), EditFormat("whole")),
        (
            WHOLE_PROMPT.format(open="<source>", close="</source>"),
            EditFormat("whole", "<source>", "</source>"),
        ),
        ("Use the *file listing* format.", EditFormat("whole")),
        (diff_prompt("```", "```", path_inside=False), EditFormat("diff")),
        (diff_prompt("````", "````", path_inside=False), EditFormat("diff", "````", "````")),
        (diff_prompt("```", "```", path_inside=True), EditFormat("diff-fenced")),
        (UDIFF_PROMPT, EditFormat("udiff")),
        ("Show me a unified diff, please.", None),
    ],
)
def test_the_format_that_a_prompt_teaches(prompt: str, form: EditFormat | None) -> None:
    """The format and its fence are read from the rules that the agent sends."""
    assert requested_format(["Be brief.", prompt]) == form

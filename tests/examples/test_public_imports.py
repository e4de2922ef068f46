"""Docs and examples use the public names of the three rooms, and those names exist."""

import ast
import importlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("cab.adapters", "cab.proxy", "cab.scoring")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))

FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)
WRITTEN = re.compile(r"^cat > \S+\.py <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)
DEFINED = re.compile(r"^::: .*$", re.MULTILINE)  # where the site's reference takes a name from
IN_A_SHELL = re.compile(r"""python3? -c (['"])(.*?)\1""")
IMPORTS_CAB = re.compile(r"^\s*(?:from|import) cab\b", re.MULTILINE)
NAMED = re.compile(r"(?<!-m )\b(cab\.(?:adapters|proxy|scoring))\.(\w+)(?![\w.]*:\w)")
OBJECT = re.compile(r"\b(cab(?:\.\w+)+):(\w+)")  # as a command takes an agent of no short name


def code_in(page: str) -> Iterator[str]:
    """Yield the Python code of a page: blocks, indented or fenced, what a shell is given, and files that it writes."""
    for language, block in FENCED.findall(page):
        if language == "python" or (not language and IMPORTS_CAB.search(block)):
            yield block
    yield from WRITTEN.findall(page)
    for block in INDENTED.findall(FENCED.sub("\n", page)):
        if IMPORTS_CAB.search(block):
            yield textwrap.dedent(block)
    yield from (code for _, code in IN_A_SHELL.findall(page))


def used_names(code: str) -> Iterator[tuple[str, str]]:
    """Yield each module of ours that some code imports, with the name that it takes from there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cab":
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, "__all__") for a in node.names if a.name.split(".")[0] == "cab")


def faults(code: str) -> list[str]:
    """Return what is wrong with the imports of some code."""
    found: list[str] = []
    for module, name in used_names(code):
        if module not in ROOMS:
            found.append(f"{module} is not public: import {name} from one of {ROOMS}")
        elif name != "__all__" and name not in importlib.import_module(module).__all__:
            found.append(f"{module} does not export {name}")
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_import_public_names(path: Path) -> None:
    """Each example imports only what the three rooms export."""
    assert faults(path.read_text()) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_import_public_names(path: Path) -> None:
    """So does each piece of Python on a page, and what the text names by its dotted name exists."""
    page = path.read_text()
    assert [fault for code in code_in(page) for fault in faults(code)] == []
    shown = DEFINED.sub("", page)
    named = {(room, name) for room, name in NAMED.findall(shown) if name != "__all__"}
    assert {f"{r}.{n}" for r, n in named if n not in importlib.import_module(r).__all__} == set()
    objects = OBJECT.findall(page)
    assert [f"{m}:{n}" for m, n in objects if not hasattr(importlib.import_module(m), n)] == []


def test_the_pages_that_show_code_are_read() -> None:
    """The code is found in all the forms that pages have it in."""
    codes = ((path.name, code) for path in PAGES for code in code_in(path.read_text()))
    read = {name for name, code in codes if list(used_names(code))}
    assert read >= {"README.md", "agents.md", "ledger.md", "seals.md", "control-api.md"}


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("```python\nfrom cab.proxy.app import Proxy\n```\n", "cab.proxy.app is not public"),
        ("a\n\n    from cab.scoring.cells import cell\n\nb\n", "cab.scoring.cells is not public"),
        ('`python -c "import cab.adapters.cli"`', "cab.adapters.cli is not public"),
        ("```\nfrom cab.scoring import nonesuch\n```\n", "does not export nonesuch"),
    ],
)
def test_what_is_not_public_is_found(page: str, fault: str) -> None:
    """An inner module, or a name that a room does not export, is found in each of these forms."""
    [found] = [fault for code in code_in(page) for fault in faults(code)]
    assert fault in found


@pytest.mark.parametrize("room", ROOMS)
def test_every_listed_name_exists(room: str) -> None:
    """Every name that a room lists can be imported from it, and is listed once."""
    module = importlib.import_module(room)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []

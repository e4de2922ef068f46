"""docs/architecture.md shows the house as it stands, and the house keeps its own rules."""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
ROOMS = ("adapters", "proxy", "scoring")
ONE_FILE_EACH = {"adapters/agents", "proxy/meter/dialects", "proxy/demo/dialects"}
"""Folders that hold one file per agent or per dialect: they grow with those."""
MOST_ENTRIES = 20


def modules() -> Iterator[Path]:
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            if "suite" not in file.parts:
                yield file


def test_every_room_is_on_the_page() -> None:
    """The table of rooms lists each package once, and nothing else."""
    listed = re.findall(r"^\| `([a-z_/]+)/` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(p.removeprefix("cab.").replace(".", "/") for p in PACKAGES)


def test_every_file_that_the_page_names_is_there() -> None:
    """A path of a module on the page leads to a module."""
    named = re.findall(r"`((?:adapters|proxy|scoring)/[a-z_/]+\.py)`", PAGE)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_no_folder_is_a_crowd() -> None:
    """A folder holds one idea: about fifteen entries, never more than twenty."""
    counts = defaultdict(set)
    for file in modules():
        folder = file.parent.relative_to(ROOT)
        counts[str(folder)].add(file.name)
        counts[str(folder.parent)].add(folder.name)
    crowds = {
        folder: len(names - {"__init__.py"})
        for folder, names in counts.items()
        if folder not in ONE_FILE_EACH and len(names - {"__init__.py"}) > MOST_ENTRIES
    }
    assert crowds == {}


def test_a_class_name_means_one_thing() -> None:
    """No two modules define a public class of the same name."""
    places = defaultdict(list)
    for file in modules():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}

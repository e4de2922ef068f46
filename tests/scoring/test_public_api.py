"""The room as other harnesses meet it: what it exports, what it needs, how fast it is."""

import pydoc
from inspect import isfunction, signature
from pathlib import Path

import pytest

import cab.scoring
import cab.scoring.analysis
import cab.scoring.stats
from cab.scoring import BadRecord
from cab.scoring.exports.schema import MODELS, json_schema
from cab.scoring.introspection.field_texts import field_texts, with_field_texts
from tests.scoring.builders import CELL_ID, end_fields, line
from tests.scoring.cells.test_bundle import stored
from tests.tools.programs import run_python

HEAVY = (
    *("aiohttp", "tiktoken", "structlog", "rich", "yarl", "zstandard"),
    *("cab.proxy", "cab.adapters"),
)


def run(code: str, folder: Path | None = None) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    return run_python("-c", code, cwd=folder).strip()


def exported() -> list[str]:
    """Return the exported names; a type checker has them from the imports instead."""
    names: list[str] = cab.scoring.__all__  # type: ignore[attr-defined]
    return names


def test_all_that_is_listed_is_there() -> None:
    """Every name of `__all__` exists, none is listed twice, and `import *` brings all of them."""
    names = exported()
    assert len(set(names)) == len(names)
    assert all(hasattr(cab.scoring, name) for name in names)
    code = "from cab.scoring import *; print(*(name for name in dir() if name[0] != '_'))"
    assert sorted(run(code).split()) == sorted(names)


def readers() -> dict[str, int]:
    """Return the functions that read a path, and how many paths each wants."""
    functions = {n: f for n in exported() if isfunction(f := getattr(cab.scoring, n))}
    paths = {
        name: sum("PathLike" in str(each.annotation) for each in signature(f).parameters.values())
        for name, f in functions.items()
    }
    return {name: count for name, count in paths.items() if count and name != "verify_slice"}


@pytest.mark.parametrize("name", readers())
def test_paths_may_be_text(name: str) -> None:
    """Whoever writes a path as text is told what is missing there, and not that text has no `is_dir`."""
    paths = ["nowhere/at all"] * readers()[name]
    if name in ("find_cells", "verify_bundle"):  # a fault is part of what these return
        assert getattr(cab.scoring, name)(*paths)
        return
    with pytest.raises(BadRecord, match=r"nowhere/at all.*: No such file"):
        list(getattr(cab.scoring, name)(*paths))


def test_pydantic_and_orjson_are_all_it_needs() -> None:
    """Importing the room loads nothing of the other rooms and none of their dependencies."""
    code = f"import sys, cab.scoring; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code) == "[]"


def test_the_import_costs_little_more_than_pydantic() -> None:
    """Importing the room takes less than four times what importing pydantic alone takes."""

    def best_s(code: str) -> float:
        timed = (
            f"import time; began = time.perf_counter(); {code}; print(time.perf_counter() - began)"
        )
        return min(float(run(timed)) for _ in range(5))

    assert best_s("import cab.scoring") < 4 * best_s("from pydantic import BaseModel")


def test_the_examples_of_the_docstring_run(tmp_path: Path) -> None:
    """The lines that the room shows a newcomer run as they stand, on a ledger and on bundles."""
    (tmp_path / "cab-ledger").mkdir()
    call = line(end_fields(cell_id="local/aider/m/f/t#run1"))
    (tmp_path / "cab-ledger" / "w0-000001.jsonl").write_bytes(call)
    stored(tmp_path / "runs" / "a", calls=[end_fields()])
    doc = cab.scoring.__doc__ or ""
    code = "\n".join(text[4:] for text in doc.splitlines() if text.startswith("    "))
    calls, cell, group, mine = run(code, tmp_path).splitlines()
    assert calls.startswith("1 120 {'upstream': ")
    assert cell.split()[0] == CELL_ID
    assert cell.split()[2] == "120"
    assert group.startswith("{'tui': 'scripted', 'model': ")
    assert mine.startswith("{'tui': 'unknown', 'model': 'unknown'} Figure(value=1.0, ")


def test_help_fits_a_screen() -> None:
    """`help(cab.scoring)` is its docstring and its packages; `dir` still lists every name."""
    shown = pydoc.plain(pydoc.render_doc(cab.scoring)).splitlines()
    assert len(shown) <= 52
    assert max(map(len, shown[:-3])) <= 92
    assert set(exported()) <= set(dir(cab.scoring))


def test_help_shows_the_texts_of_fields() -> None:
    """The help of a class of the statistics names each field with its type, its default and its text."""
    shown = pydoc.plain(pydoc.render_doc(cab.scoring.Observation))
    assert (
        "stopped: bool = False\n |          Whether the agent was stopped at its time limit"
        in shown
    )
    for slotted in (cab.scoring.Aggregate, cab.scoring.Comparison, cab.scoring.Settings):
        assert [field.name for field in field_texts(slotted)] == list(slotted.__slots__)
    packages = cab.scoring.stats, cab.scoring.analysis
    values = [value for package in packages for value in vars(package).values()]
    owners = [owner for owner in values if isinstance(owner, type) and field_texts(owner)]
    assert len(owners) > 20
    for owner in [*owners, cab.scoring.ScoredCell]:
        for field in field_texts(owner):
            assert field.text, f"{owner.__name__}.{field.name} has no text"
            assert f"    {field.name}: " in (owner.__doc__ or ""), owner


def test_a_class_without_source_has_its_docstring_alone() -> None:
    """Where the source is not there, as in a frozen program, the help is what was there before."""
    made = with_field_texts(type("Made", (), {"__doc__": "One thing.", "__module__": "cab.none"}))
    assert (field_texts(made), made.__doc__) == ([], "One thing.")


@pytest.mark.parametrize("name", MODELS)
def test_fields_of_files_have_texts_in_help_and_schema(name: str) -> None:
    """Each field of a record, a cell and the other files is explained in `help` and in its JSON Schema."""
    schema = json_schema(name)
    objects = [schema, *schema.get("$defs", {}).values()]
    members = [(o["title"], p, m) for o in objects for p, m in o.get("properties", {}).items()]
    assert members
    assert [(owner, member) for owner, member, made in members if "description" not in made] == []
    assert all("Fields:" not in made.get("description", "") for made in objects)
    shown = pydoc.plain(pydoc.render_doc(MODELS[name]))
    fields = field_texts(MODELS[name])
    assert fields
    for field in fields:
        assert f"{field.name}: {field.type}" in shown
        assert field.text
        assert " ".join(field.text.split()) in " ".join(shown.replace("|", "").split())

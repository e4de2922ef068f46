"""The exported schemas: a change of a file's form is seen in a diff, never by accident.

make schemas        writes them again
"""

import os
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from cab.scoring import PROFILES, dump_cell, dump_manifest
from cab.scoring.exports.schema import DIALECT, MODELS, json_schema
from cab.scoring.ledger.seals import seal_lines
from tests.scoring.builders import AFTER, end_fields, facts, line, open_fields, start_fields
from tests.scoring.cells.test_bundle import bundle

FOLDER = Path(__file__).parents[2] / "scoring" / "schemas"


@pytest.mark.parametrize("name", MODELS)
def test_the_exported_schema_is_the_models_own(name: str) -> None:
    """Each file under `scoring/schemas/` is what its model gives; `make schemas` writes it again."""
    path = FOLDER / f"{name}.json"
    made = json_schema(name)
    if os.environ.get("CAB_WRITE_SCHEMAS"):
        text = orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        path.write_bytes(text)
    assert orjson.loads(path.read_bytes()) == made, "the form of a file changed: make schemas"


def test_no_schema_is_left_over() -> None:
    """Every file in the folder belongs to a model."""
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.json" for name in MODELS}


def files() -> list[tuple[str, Any]]:
    """Return a file of each form, as CAB writes it."""
    cell = orjson.loads(dump_cell(bundle(facts(), calls=[])))
    return [
        ("call-start-1", orjson.loads(line(start_fields()))),
        ("call-end-1", orjson.loads(line(end_fields()))),
        ("cell-open-1", orjson.loads(line(open_fields()))),
        ("record-1", orjson.loads(line({"kind": "cell_seal"}))),
        ("seal-3", {"cell_id": "s/a/m/f/t", **seal_lines([line(end_fields())])}),
        ("cell-1", cell),
        ("cell-1", {**cell, "added_later": 1}),
        ("profile-1", orjson.loads(PROFILES["measured/1"].model_dump_json(by_alias=True))),
        ("span-1", cell["spans"][0]),
        ("task-1", cell["task"]),
        ("tree-1", orjson.loads(dump_manifest(AFTER))),
    ]


@pytest.mark.parametrize(("name", "data"), files())
def test_what_cab_writes_fits_its_schema(name: str, data: Any) -> None:
    """An independent validator takes every file that CAB writes, and one that is newer."""
    schema = json_schema(name)
    assert schema["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cell-1", {}),
        ("call-end-1", orjson.loads(line(end_fields(prompt_tokens=-1)))),
        ("call-end-1", orjson.loads(line(start_fields()))),
        ("tree-1", {"schema": "cab.tree/1", "entries": {"a": {"type": "pipe"}}}),
        ("tree-1", {"schema": "cab.tree/1", "entries": {"a": {"type": "file", "size": -1}}}),
        ("profile-1", {"name": "x/1", "note": "", "terms": []}),
        ("profile-1", {"name": "x", "note": "", "terms": [{}]}),
    ],
)
def test_what_is_wrong_does_not_fit(name: str, data: Any) -> None:
    """The schemas refuse what the models refuse."""
    assert not jsonschema.Draft202012Validator(json_schema(name)).is_valid(data)

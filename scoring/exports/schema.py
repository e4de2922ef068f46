"""JSON Schemas of the files, for readers in other languages.

They say what a reader takes: members that have a default may be absent, and members of a newer
version may be there. The copies in `schemas/` are what CI holds these against.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter

from cab.scoring.cells.cell import Cell
from cab.scoring.cells.metered_command import MeteredCommand
from cab.scoring.evidence.manifest import TreeManifest
from cab.scoring.evidence.spans import Span
from cab.scoring.evidence.task import TaskFacts
from cab.scoring.ledger.records import CallEnd, CallStart, CellOpen, OtherRecord
from cab.scoring.ledger.seals import Seal
from cab.scoring.profiles.model import Profile

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""What the schemas are written in."""

MODELS: Mapping[str, Any] = MappingProxyType(
    {
        "call-end-1": CallEnd,
        "call-start-1": CallStart,
        "cell-1": Cell,
        "cell-open-1": CellOpen,
        "meter-1": MeteredCommand,
        "profile-1": Profile,
        "record-1": OtherRecord,
        "seal-3": Seal,
        "span-1": Span,
        "task-1": TaskFacts,
        "tree-1": TreeManifest,
    }
)
"""Name and version of a schema -> what it describes; `record-1` is a line of any other kind, and
`seal-3` takes seals of the earlier forms as well."""


def json_schema(name: str) -> dict[str, Any]:
    """Return the schema of a name in `MODELS`.

    Raises:
        KeyError: There is none of that name.
    """
    return {"$schema": DIALECT, **TypeAdapter(MODELS[name]).json_schema()}

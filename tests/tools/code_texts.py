"""All texts of the code, as a reader of its messages sees them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
GAP = "…"
"""Stands for what a message fills in."""


@cache
def code_texts() -> tuple[str, ...]:
    """Return the texts of the three rooms; what an f-string fills in is a `GAP`."""
    rooms = (ROOT / room for room in ("adapters", "proxy", "scoring"))
    files = (file for room in rooms for file in room.rglob("*.py") if "suite" not in file.parts)
    return tuple(text for file in files for text in _texts(ast.parse(file.read_bytes())))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value

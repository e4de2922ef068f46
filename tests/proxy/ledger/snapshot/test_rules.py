"""Rows that were kept by an earlier version are used as long as the rules that made them are the same."""

import ast
import hashlib
from pathlib import Path

from cab.proxy.ledger.snapshot.rows import SUMS

ROOT = Path(__file__).parents[4]
FILES = (
    "proxy/accounting/windows.py",
    "proxy/ledger/snapshot/fold.py",
    "proxy/ledger/snapshot/rows.py",
    "scoring/ledger/bounds.py",
    "scoring/ledger/money.py",
    "scoring/ledger/totals.py",
    "scoring/ledger/verification/call_ids.py",
)
"""What makes rows of records."""
DIGEST = "sums 1: 1c55d4b61a3689de"
"""Of their code: when it changes and rows stay the same, only this changes; else `SUMS` is raised too."""


def code(path: Path) -> str:
    """Return a file without comments, docstrings and empty lines."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        end = node.end_lineno or node.lineno
        lines[node.lineno - 1 : end] = [""] * (end - node.lineno + 1)
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def test_rules_that_change_have_another_number() -> None:
    """The digest stands for a decision: do the same records still give the same rows?"""
    text = "\0".join(code(ROOT / name) for name in FILES)
    made = f"sums {SUMS}: {hashlib.sha256(text.encode()).hexdigest()[:16]}"
    question = (
        "if the same records give other rows now, raise SUMS in snapshot/rows.py; then set DIGEST"
    )
    assert made == DIGEST, question

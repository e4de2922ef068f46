"""docs/catalogue.md, from the results of a run of the table."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.proxy.catalogue.table import ALL, TABLE, Case

FILE = Path(__file__).parents[3] / "docs" / "catalogue.md"
Result = tuple[str, str, bool]
"""Name of the case, dialect, streamed or not."""

_HEAD = """\
# What breaks meters, and what happens here

Each line is a fault that users of other meters and gateways reported. The tests produce it on real
sockets, at both ends of the proxy, for every dialect and mode that it can happen in. This page is
written by that test run (`make catalogue`); a mode is in a dialect's column if it passed there.

In every line, accepted requests = END records. *Tokens* says what the record's token counts are:
*exact* = the endpoint's own, field by field; *counted here* = tiktoken's, marked as such; *nothing
written* = nothing reached the model, 0 completion tokens; *none* = unknown, `null`; *at most* = unknown, and the
record states what the call cost at most.

"""
_COLUMNS = ("chat", "completions", "embeddings", "responses", "messages", "Gemini")


def page(passed: Iterable[Result]) -> str:
    """Return the page for what passed."""
    results = frozenset(passed)
    lines = [
        f"| # | fault | END record | tokens | the client saw | {' | '.join(_COLUMNS)} |",
        "|---" * (5 + len(_COLUMNS)) + "|",
        *(_line(entry, results) for entry in TABLE),
    ]
    modes = dict.fromkeys(("stream", "whole"), 0)
    for _, _, stream in results:
        modes["stream" if stream else "whole"] += 1
    count = f"{len(results)} runs passed: {modes['stream']} streamed, {modes['whole']} whole.\n"
    return _HEAD + "\n".join(lines) + f"\n\n{count}"


def _line(entry: Case, results: frozenset[Result]) -> str:
    end = ", ".join(f"`{name}: {_value(value)}`" for name, value in entry.end.items()) or "see test"
    marks = [_mark(entry, dialect, results) for dialect in ALL]
    cells = [entry.number, entry.title, end, entry.tokens, entry.client, *marks]
    return f"| {' | '.join(cells)} |"


def _mark(entry: Case, dialect: str, results: frozenset[Result]) -> str:
    modes: Mapping[bool, str] = {True: "stream", False: "whole"}
    return ", ".join(name for mode, name in modes.items() if (entry.name, dialect, mode) in results)


def _value(value: object) -> str:
    return "null" if value is None else str(value)

"""What the agent changed: its patch as a diff to read, the files that were due first."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from cab.adapters.report.cell.check import read_text
from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.render.environment import html
from cab.scoring.cells.bundle import PATCH_FILE
from cab.scoring.evidence.patch_lines import SCRATCH as SCRATCH_REASON

_MOST_BYTES = 400_000
_MOST_ROWS_OF_FILE = 300
_MOST_ROWS = 900
_MOST_CHARS, _LEAST_CHARS, _CHARS_OF_CALL = 40_000, 10_000, 300
"""Of the markup of all files together, less with many calls: the page stays small, and the rest is in
the patch."""

DUE, BESIDE, SCRATCH = "due", "beside the task", "scratch"
_ORDER = (DUE, BESIDE, SCRATCH)

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d{1,9})? \+(\d{1,9})(?:,\d{1,9})? @@")
_LEFT_OUT = re.compile(r"^Not in this patch: (.+) \(([a-z -]+)\)\n", re.MULTILINE)
_FILE = re.compile(r"^(?=diff --git )", re.MULTILINE)
_MOST_CHARS_OF_LINE = 2000


@dataclass(slots=True)
class DiffFile:
    """The change of one file."""

    name: str
    kind: str
    """Whether it was due, beside the task, or the agent's scratch."""
    added: int = 0
    removed: int = 0
    rows: list[Markup] = field(default_factory=list[Markup])
    is_cut: bool = False
    """Whether there are more lines than shown."""
    note: str = ""
    """What stands in place of lines."""


@dataclass(frozen=True, slots=True)
class PageChanges:
    """The changes of a cell."""

    files: list[DiffFile]
    """From the patch."""
    named: list[tuple[str, str]]
    """Path and what happened to it, where there is no patch."""
    is_cut: bool
    """Whether the patch is longer than what was read."""

    def count(self, kind: str) -> int:
        """Return how many files are of a kind."""
        return sum(file.kind == kind for file in self.files)


def page_changes(cell: ReportCell) -> PageChanges | None:
    """Return what the agent changed; None if nobody looked."""
    axis = cell.axes.blast_radius
    if axis is None:
        return None
    found = None
    if cell.folder is not None:
        found = read_text(cell.folder / PATCH_FILE, _MOST_BYTES)
    if found is None:
        kinds = (("added", axis.added), ("removed", axis.removed), ("modified", axis.modified))
        named = [(path, kind) for kind, paths in kinds for path in paths]
        return PageChanges([], named[:_MOST_ROWS], False)
    kinds_of = dict.fromkeys(axis.scratch_changes or (), SCRATCH)
    kinds_of |= dict.fromkeys(axis.expected_changes, DUE)
    parts = _FILE.split(_LEFT_OUT.sub("", found[0]))
    shown = (_file(part, kinds_of) for part in parts if part.startswith("diff "))
    absent = (_absent(match, kinds_of) for match in _LEFT_OUT.finditer(found[0]))
    files = sorted((*shown, *absent), key=lambda file: _ORDER.index(file.kind))
    _bound(files, max(_LEAST_CHARS, _MOST_CHARS - _CHARS_OF_CALL * len(cell.calls)))
    return PageChanges(files, [], found[1])


def _absent(match: re.Match[str], kinds: dict[str, str]) -> DiffFile:
    """Return a file that the patch only names, which other files' parts must not swallow."""
    name, why = match.groups()
    kind = SCRATCH if why == SCRATCH_REASON else kinds.get(name, BESIDE)
    return DiffFile(name, kind, note=f"not in the patch: {why}")


def _bound(files: Sequence[DiffFile], chars_left: int) -> None:
    rows_left = _MOST_ROWS
    for file in files:
        kept: list[Markup] = []
        for row in file.rows[: min(_MOST_ROWS_OF_FILE, rows_left)]:
            if chars_left < len(row):
                break
            kept.append(row)
            chars_left -= len(row)
        file.is_cut = len(kept) < len(file.rows)
        file.rows = kept
        rows_left -= len(kept)


def _file(part: str, kinds: dict[str, str]) -> DiffFile:
    # Not splitlines(): a form feed within a line is no end of it.
    lines = part.split("\n")
    name = _name(lines)
    file = DiffFile(name, kinds.get(name, BESIDE))
    body = next((n for n, line in enumerate(lines) if _HUNK.match(line)), len(lines))
    if body == len(lines):
        file.note = _without_lines(lines)
    file.rows = list(_rows(lines[body:], file))
    return file


def _name(lines: Sequence[str]) -> str:
    for start in ("+++ b/", "--- a/"):
        for line in lines[:12]:
            if line.startswith(start):
                return line.removeprefix(start).rstrip("\t\r")
    names = lines[0].removeprefix("diff --git ")
    half = len(names) // 2  # `a/NAME b/NAME`, of a file without lines
    return names[half + 1 :].removeprefix("b/")


def _without_lines(lines: Sequence[str]) -> str:
    said = " ".join(line for line in lines[1:] if line and not line.startswith("index "))
    return said[:200] or "no lines"


def _rows(lines: Sequence[str], file: DiffFile) -> Iterator[Markup]:
    old = new = 0
    row = Markup("<span{}><i>{}</i>{}</span>")
    for line in lines:
        hunk = _HUNK.match(line)
        text = html(line[:_MOST_CHARS_OF_LINE] + (" …" if len(line) > _MOST_CHARS_OF_LINE else ""))
        if hunk:
            old, new = int(hunk[1]), int(hunk[2])
            yield Markup('<span class="hunk">{}</span>').format(text)
        elif line.startswith("+"):
            file.added += 1
            yield row.format(Markup(' class="added"'), new, text)
            new += 1
        elif line.startswith("-"):
            file.removed += 1
            yield row.format(Markup(' class="removed"'), old, text)
            old += 1
        elif line.startswith(" "):
            yield row.format("", new, text)
            old, new = old + 1, new + 1

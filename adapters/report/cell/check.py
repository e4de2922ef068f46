"""What the hidden check of the task said, and what the agent printed."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cab.adapters.output.places import without_places
from cab.adapters.report.cell.facts import ReportCell
from cab.scoring.files import check_regular, naming

_LINES = {"ok: ": True, "not ok: ": False}
"""How the checks of the suite begin the line of each question."""

_MOST_BYTES = 6_000
"""Of one output, the end of the check's, the beginning of the agent's; the whole is in the bundle."""


class CheckLine(NamedTuple):
    """One question of a check."""

    ok: bool
    name: str


class PrintedText(NamedTuple):
    """What was printed, as far as the page holds it."""

    title: str
    text: str
    is_cut: bool


def check_lines(stdout: str | None) -> list[CheckLine]:
    """Return the questions of a check that prints a line for each, those that failed first."""
    found = [
        CheckLine(ok, line.removeprefix(start))
        for line in (stdout or "")[-_MOST_BYTES:].splitlines()
        for start, ok in _LINES.items()
        if line.startswith(start)
    ]
    return sorted(found, key=lambda line: line.ok)


def printed_texts(cell: ReportCell) -> list[PrintedText]:
    """Return what check and agent printed."""
    return list(_printed(cell))


def _printed(cell: ReportCell) -> Iterator[PrintedText]:
    axis = cell.axes.pass_rate
    for name, text in (("output", axis.stdout_tail), ("errors", axis.stderr_tail)):
        if text:
            kept = without_places(text[-_MOST_BYTES:])
            yield PrintedText(f"The check's {name}", kept, is_cut=len(text) > _MOST_BYTES)
    if cell.folder is not None:
        for name in ("stdout.txt", "stderr.txt"):
            found = read_text(cell.folder / name, _MOST_BYTES)
            if found is not None and found[0]:
                yield PrintedText(f"The agent's {name}", *found)


def read_text(file: Path, most_bytes: int) -> tuple[str, bool] | None:
    """Return the beginning of a file without places, and whether it is cut; None if there is none."""
    if not file.is_file():
        return None
    size_bytes = check_regular(file)
    with naming(file), file.open("rb") as handle:
        text = handle.read(most_bytes).decode("utf-8", "replace")
    return without_places(text), size_bytes > most_bytes

"""Which form a file has, by its content: every form is asked, and exactly one must know it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from cab.scoring.cells.published import PublishedCell, published_of
from cab.scoring.errors import BadRecord
from cab.scoring.files import is_list, is_object
from cab.scoring.imports.aider import aider_of, is_aider_results
from cab.scoring.imports.aider_leaderboard import is_leaderboard, leaderboard_of
from cab.scoring.imports.atif import atif_of, is_atif
from cab.scoring.imports.hal import encrypted_hal_of, hal_of, is_encrypted_hal, is_hal
from cab.scoring.imports.harbor import harbor_of, is_harbor_job, is_harbor_trial
from cab.scoring.imports.inspect.archive import archive_of
from cab.scoring.imports.inspect.log import inspect_log_of, is_inspect_log
from cab.scoring.imports.minisweagent import is_mini_messages, is_mini_trajectory, mini_of
from cab.scoring.imports.model import ImportedCell
from cab.scoring.imports.openhands import is_openhands, openhands_of
from cab.scoring.imports.pages import is_page, is_page_text, page_of_text
from cab.scoring.imports.reading.content import is_zip, open_content
from cab.scoring.imports.reading.input_file import FileRow, InputFile, Note, clipped, say
from cab.scoring.imports.reading.lenient import parse_lenient
from cab.scoring.imports.reading.lines import first_row, is_lines, parsed_rows
from cab.scoring.imports.sweagent import is_swe_agent_trajectory, swe_agent_of
from cab.scoring.imports.swebench.predictions import (
    is_prediction,
    is_predictions,
    prediction_lines_of,
    predictions_of,
)
from cab.scoring.imports.swebench.reports import is_instance_report, is_run_report, report_of
from cab.scoring.imports.swebench.submissions import (
    is_submission,
    is_submission_details,
    submission_details_of,
    submission_of,
)
from cab.scoring.imports.terminal_bench import (
    is_terminal_bench_run,
    is_terminal_bench_trial,
    terminal_bench_run_of,
    terminal_bench_trial_of,
)

KNOWN = (
    "a page or a cell.json, a Harbor trial or its trajectory, results of Terminal-Bench, aider's "
    "benchmark results or leaderboard, a trajectory of mini-swe-agent or SWE-agent, SWE-bench "
    "predictions, reports or submissions, an Inspect log, OpenHands' output.jsonl, a HAL upload"
)
"""What a file can be."""

_OURS: Final = {
    "cab.call/": "a line of an audit log, which has no score; cab ledger calls lists its calls, "
    "cab ledger verify checks it, and the folder of a bundle has one beside its score",
    "cab.meter/": "what cab meter --json wrote, which has no score; it is JSON to read as it is",
    "cab.": "a file of CAB that is no cell; cab score reads a bundle, its cell.json or a page",
}
"""Beginnings of the schemas of our own files -> what they are, the first that fits."""
_MOST_NAMES = 8

Cells = ImportedCell | list[ImportedCell]


class FileCells(NamedTuple):
    """What a file of cells holds."""

    page: PublishedCell | None
    """A published cell, or a `cell.json`; then there are no others."""
    cells: list[ImportedCell]
    """The cells of another harness."""
    notes: list[Note]
    """What could not be read, and what a reader of the figures must know."""


class _Form(NamedTuple):
    name: str
    recognises: Callable[[object], bool]
    read: Callable[[object, InputFile], Cells]


class _LineForm(NamedTuple):
    name: str
    recognises: Callable[[object], bool]
    read: Callable[[Iterable[FileRow], InputFile], list[ImportedCell]]


def _one_openhands(data: object, source: InputFile) -> list[ImportedCell]:
    return openhands_of([FileRow(data)], source)


_FORMS: Final = (
    _Form("a Harbor trial", is_harbor_trial, harbor_of),
    _Form("a Harbor job", is_harbor_job, harbor_of),
    _Form("a trajectory of Harbor", is_atif, atif_of),
    _Form("a run of Terminal-Bench", is_terminal_bench_run, terminal_bench_run_of),
    _Form("a trial of Terminal-Bench", is_terminal_bench_trial, terminal_bench_trial_of),
    _Form("aider's benchmark results", is_aider_results, aider_of),
    _Form("a mini-swe-agent trajectory", is_mini_trajectory, mini_of),
    _Form("a list of mini-swe-agent's messages", is_mini_messages, mini_of),
    _Form("a SWE-agent trajectory", is_swe_agent_trajectory, swe_agent_of),
    _Form("SWE-bench predictions", is_predictions, predictions_of),
    _Form("a SWE-bench report of a run", is_run_report, report_of),
    _Form("a SWE-bench report of instances", is_instance_report, report_of),
    _Form("a SWE-bench submission", is_submission, submission_of),
    _Form("a SWE-bench submission by instance", is_submission_details, submission_details_of),
    _Form("an Inspect log", is_inspect_log, inspect_log_of),
    _Form("a run of OpenHands", is_openhands, _one_openhands),
    _Form("a HAL upload", is_hal, hal_of),
    _Form("an encrypted HAL upload", is_encrypted_hal, encrypted_hal_of),
)
_LINE_FORMS: Final = (
    _LineForm("SWE-bench predictions", is_prediction, prediction_lines_of),
    _LineForm("OpenHands' output.jsonl", is_openhands, openhands_of),
)


def read_cells(
    path: Path, on_note: Callable[[Note], None] | None = None
) -> PublishedCell | list[ImportedCell]:
    """Return what a file holds: a published cell, or the cells of another harness.

    Args:
        path: The file, packed with gzip or zstd or not.
        on_note: Called with each value or row that was lost; without it, each is a
            `ReadingWarning`.

    Raises:
        BadRecord: It has no form that is known, or more than one, or nothing of it can be read.
    """
    found = read_file(path)
    say(found.notes, on_note)
    return found.cells if found.page is None else found.page


def read_file(path: Path) -> FileCells:
    """Return what a file holds, with what was lost of it; errors as for `read_cells`."""
    source = InputFile(path)
    page, cells = (None, archive_of(source)) if is_zip(path) else _read(source)
    return FileCells(page, cells, source.all_notes())


def _read(source: InputFile) -> tuple[PublishedCell | None, list[ImportedCell]]:
    with open_content(source.path) as content:
        if is_lines(content):
            return None, _of_lines(parsed_rows(content, source), source)
        text = content.whole()
    if is_page_text(text):
        return page_of_text(text, source.path), []
    if is_leaderboard(text):
        return None, leaderboard_of(text, source)
    data = parse_lenient(text, source)
    if is_object(data) and is_page(data):
        if source.notes:
            # Ours are written without such faults: this one was changed.
            raise BadRecord(str(source.path), None, f"not valid JSON: {source.notes[0].text}")
        return published_of(data, source.path), []
    return None, _of_json(data, source)


def _of_json(data: object, source: InputFile) -> list[ImportedCell]:
    fitting = [form for form in _FORMS if form.recognises(data)]
    if len(fitting) != 1:
        _refuse(data, [form.name for form in fitting], source)
    [form] = fitting
    # One cell takes what was noted of the whole file.
    held: list[ImportedCell] = []

    def first(noting: InputFile) -> ImportedCell:
        made = form.read(data, noting)
        held.extend(made if isinstance(made, list) else [made])
        if not held:
            raise BadRecord(str(source.path), None, "holds no run")
        return held[0]

    alone = source.one(first)
    return [alone] if len(held) == 1 else held


def _of_lines(rows: Iterable[FileRow], source: InputFile) -> list[ImportedCell]:
    first, every = first_row(iter(rows))
    if first is None:
        lost = source.notes[0].text if source.notes else "there is none"
        raise BadRecord(str(source.path), 1, f"no line can be read, not valid JSON: {lost}")
    fitting = [form for form in _LINE_FORMS if form.recognises(first.data)]
    if len(fitting) != 1:
        _refuse(first.data, [form.name for form in fitting], source, first.line)
    return fitting[0].read(every, source)


def _refuse(data: object, names: list[str], source: InputFile, line: int | None = None) -> NoReturn:
    if (ours := _ours(data)) is not None:
        what = f"is {ours}"
    elif names:
        what = f"could be {' or '.join(names)}: it is {_seen(data)}"
    else:
        what = f"has no form that is known: it is {_seen(data)}; known are {KNOWN}"
    raise BadRecord(str(source.path), line, what)


def _ours(data: object) -> str | None:
    """Return what a file of ours is that holds no cell, and what reads it; None if it is none."""
    schema = data.get("schema") if is_object(data) else None
    known = (
        text
        for start, text in _OURS.items()
        if isinstance(schema, str) and schema.startswith(start)
    )
    return next(known, None)


def _seen(data: object) -> str:
    """Return what a piece of JSON is, for an error."""
    if is_object(data):
        return f"an object with {_names(data)}"
    if is_list(data):
        first = f", the first with {_names(data[0])}" if data and is_object(data[0]) else ""
        return f"a list of {len(data)}{first}"
    return "a text" if isinstance(data, str) else f"the value {data!r}"[:80]


def _names(data: dict[str, object]) -> str:
    if not data:
        return "no members"
    shown = ", ".join(clipped(name)[:40] for name in list(data)[:_MOST_NAMES])
    more = len(data) - _MOST_NAMES
    return f"the members {shown}" + (f" and {more} more" if more > 0 else "")

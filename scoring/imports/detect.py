"""Which form a file has, by its content."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cab.scoring.cells.published import PublishedCell, published_of
from cab.scoring.errors import BadRecord
from cab.scoring.files import is_object, parse_json, read_bytes
from cab.scoring.imports.aider import aider_of, is_aider_results
from cab.scoring.imports.harbor import harbor_of, is_harbor_job, is_harbor_trial
from cab.scoring.imports.minisweagent import is_mini_trajectory, mini_of
from cab.scoring.imports.model import ImportedCell
from cab.scoring.imports.pages import is_page, is_page_text, page_of_text
from cab.scoring.imports.predictions import (
    is_prediction_lines,
    is_predictions,
    prediction_lines_of,
    predictions_of,
)
from cab.scoring.imports.reports import is_instance_report, is_run_report, report_of

KNOWN = (
    "a page or a cell.json, a Harbor trial, aider's benchmark results, a mini-swe-agent "
    "trajectory, SWE-bench predictions or reports"
)
"""What a file can be."""


class _Form(NamedTuple):
    recognises: Callable[[object], bool]
    read: Callable[[object, Path], ImportedCell | list[ImportedCell]]


_FORMS = (
    _Form(is_mini_trajectory, mini_of),
    _Form(is_harbor_trial, harbor_of),
    _Form(is_harbor_job, harbor_of),
    _Form(is_aider_results, aider_of),
    _Form(is_run_report, report_of),
    _Form(is_instance_report, report_of),
    _Form(is_predictions, predictions_of),
)
"""The first that recognises a file reads it."""


def read_cells(path: Path) -> PublishedCell | list[ImportedCell]:
    """Return what a file holds: a published cell, or the cells of another harness.

    Raises:
        BadRecord: It has no form that is known, or it is broken.
    """
    text = read_bytes(path)
    if is_page_text(text):
        return page_of_text(text, path)
    if is_prediction_lines(text):
        return prediction_lines_of(text, path)
    data = parse_json(text, path)
    if is_object(data) and is_page(data):
        return published_of(data, path)
    for form in _FORMS:
        if form.recognises(data):
            cells = form.read(data, path)
            return cells if isinstance(cells, list) else [cells]
    raise BadRecord(str(path), None, f"has no form that is known: {KNOWN}")

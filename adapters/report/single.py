"""One cell as one file, to attach or to mail."""

from pathlib import Path

from cab.adapters.report.cell.facts import read_report_cell
from cab.adapters.report.cell.page import cell_page
from cab.adapters.report.names import page_stem
from cab.adapters.report.render.frame import PageFrame
from cab.scoring.score import ScoredCell


def write_single(scored: ScoredCell, file: Path, *, with_messages: bool = False) -> None:
    """Write the page of a cell with all that it needs in it.

    Args:
        scored: The cell.
        file: Where.
        with_messages: Whether what was said in its calls is shown, where it was kept.

    Raises:
        BadRecord: A file of the cell cannot be read.
        OSError: The file cannot be written.
    """
    cell = read_report_cell(scored, with_messages=with_messages)
    page = cell_page(cell, page_stem(cell.cell_id), "", PageFrame(root=None))
    file.write_text(page.html, "utf-8")

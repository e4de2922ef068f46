"""Makes a site: a page and a badge for each cell, and the pages of all of them.

A first pass reads each cell whose content changed, and writes its page. What other pages need of it is
kept as an entry of a few hundred bytes. A second pass puts the links to siblings into the pages in
which they changed. So memory does not grow with the size of cells, and a run after ten changes does
the work of ten cells.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from cab.adapters.output.whole_file import partial_of
from cab.adapters.report.cell.facts import read_report_cell
from cab.adapters.report.cell.page import MESSAGES_SUFFIX, CellPage, cell_page
from cab.adapters.report.cell_list import FILE as LIST_FILE
from cab.adapters.report.cell_list import list_page
from cab.adapters.report.comparison.kept import KeptComparison
from cab.adapters.report.comparison.pages import ComparisonPages
from cab.adapters.report.entries import SiteEntry, entry_of, run_key
from cab.adapters.report.names import STEM, page_stem
from cab.adapters.report.overview.page import FILE as OVERVIEW_FILE
from cab.adapters.report.overview.page import overview_page
from cab.adapters.report.placed import placed_cells
from cab.adapters.report.render.badge import badge_endpoint, badge_svg
from cab.adapters.report.render.frame import ASSETS, PageFrame
from cab.adapters.report.siblings import Siblings, splice
from cab.adapters.report.state import (
    MadePages,
    SiteState,
    content_digest,
    maker_digest,
    opened_site,
    write_state,
)
from cab.proxy.control.live.files import STYLESHEET
from cab.scoring.errors import BadRecord, ScoringError
from cab.scoring.score import ScoredCell, find_cells, score_cells

CELLS, BADGES, ASSETS_FOLDER, COMPARISONS = "cells", "badges", "assets", "compare"


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What a run did."""

    cells: int
    """In the site."""
    rendered: int
    """Of them, pages that were made anew."""
    removed: int
    """Pages of cells that are not there any more."""


class _Names:
    """Gives each run of a cell a name of its own, the same each time that it is asked."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[str, str]] = {}

    def name(self, cell_id: str, key: str) -> str:
        """Return the name of a run's page; the first run of an id has the short one."""
        short = page_stem(cell_id)
        if self._owners.setdefault(short, (cell_id, key)) == (cell_id, key):
            return short
        return page_stem(cell_id, key)


class SiteBuilder:
    """Makes one site.

    Args:
        site: Its folder.
        base_url: Where it will be, for embeds; empty if that is not known.
        on_error: Called with the error of each cell that cannot be shown; the others are.
        on_cell: Called with the number of cells that are done, after each of them.
        with_messages: Whether what was said in the cells' calls is shown, where it was kept.
    """

    def __init__(
        self,
        site: Path,
        *,
        base_url: str,
        on_error: Callable[[ScoringError], None],
        on_cell: Callable[[int], None],
        with_messages: bool = False,
    ) -> None:
        self._site = site
        self._base_url = base_url
        self._on_error = on_error
        self._on_cell = on_cell
        self._with_messages = with_messages
        self._names = _Names()
        self._shown: dict[str, bytes] = {}
        """Names of pages, each with the result that it shows."""
        self._digests: set[str] = set()
        self._rendered = self._done = 0

    def build(self, paths: Iterable[Path]) -> SiteReport:
        """Make or renew the site of the cells below some paths.

        Raises:
            AdapterError: The folder holds something else, or another run writes it.
            OSError: A file cannot be written.
        """
        with opened_site(self._site) as before:
            return self._build(paths, before)

    def _build(self, paths: Iterable[Path], before: SiteState) -> SiteReport:
        for folder in (CELLS, BADGES):
            (self._site / folder).mkdir(parents=True, exist_ok=True)
        shutil.copytree(ASSETS, self._site / ASSETS_FOLDER, dirs_exist_ok=True)
        shutil.copy2(STYLESHEET, self._site / ASSETS_FOLDER)
        by_digest = {each.digest: each for each in before.made}
        made = [pages for path in paths for pages in self._made(path, by_digest)]
        entries = sorted(
            (entry for pages in made for entry in pages.entries),
            key=lambda entry: (entry.cell_id, entry.stem),
        )
        self._put_siblings(entries)
        comparisons = self._put_site_pages(entries, before.comparisons)
        removed = self._remove({entry.stem for entry in entries})
        write_state(self._site, SiteState(made, comparisons))
        return SiteReport(len(entries), self._rendered, removed)

    def _made(self, path: Path, before: dict[str, MadePages]) -> Iterator[MadePages]:
        made_by = f"{maker_digest()}\0{self._base_url}"
        try:
            for found in find_cells(path):
                try:
                    digest = content_digest(found, made_by, with_messages=self._with_messages)
                    if digest not in self._digests:  # else it is a copy
                        self._digests.add(digest)
                        yield self._pages(found, digest, before)
                except BadRecord as error:
                    self._on_error(error)
                self._done += 1
                self._on_cell(self._done)
        except ScoringError as error:
            self._on_error(error)

    def _pages(self, path: Path, digest: str, before: dict[str, MadePages]) -> MadePages:
        kept = before.get(digest)
        # Without entries there was an error, or a copy of a run that may be gone by now: looked at again.
        if kept is not None and kept.entries and all(map(self._is_kept, kept.entries)):
            self._shown.update((entry.stem, entry.result) for entry in kept.entries)
            return kept
        made = [self._render(scored) for scored in score_cells(path, on_error=self._on_error)]
        return MadePages(digest, [entry for entry in made if entry is not None])

    def _is_kept(self, entry: SiteEntry) -> bool:
        """Return whether the page of an entry is there, under the name that it has to have."""
        page = self._site / CELLS / f"{entry.stem}.html"
        named = self._names.name(entry.cell_id, entry.run_key) == entry.stem
        return named and entry.stem not in self._shown and _is_whole(page)

    def _render(self, scored: ScoredCell) -> SiteEntry | None:
        """Write the files of a cell; None if it is a copy of one that was written, or cannot be shown."""
        try:
            cell = read_report_cell(scored, with_messages=self._with_messages)
            entry = entry_of(cell, self._names.name(cell.cell_id, run_key(cell)))
            shown = self._shown.setdefault(entry.stem, entry.result)
            if shown is not entry.result:
                if shown != entry.result and scored.run_id is None:
                    message = f"another record of the same run of {cell.cell_id} is shown already"
                    raise BadRecord(str(scored.path), None, message)
                return None
            page = cell_page(cell, entry.stem, self._base_url, PageFrame(root="../"))
        except ScoringError as error:
            self._on_error(error)
            return None
        self._put(entry.stem, page)
        self._rendered += 1
        return entry

    def _put(self, stem: str, page: CellPage) -> None:
        messages = self._site / CELLS / f"{stem}{MESSAGES_SUFFIX}"
        if page.messages is None:
            messages.unlink(missing_ok=True)
        else:
            _write(messages, page.messages)
        _write(self._site / CELLS / f"{stem}.html", page.html)
        _write(self._site / BADGES / f"{stem}.svg", badge_svg(page.badge))
        data = orjson.dumps(badge_endpoint(page.badge)).decode()
        _write(self._site / BADGES / f"{stem}.json", data)

    def _put_siblings(self, entries: Sequence[SiteEntry]) -> None:
        siblings = Siblings(entries)
        for entry in entries:
            digest = siblings.digest(entry)
            if digest != entry.siblings_digest:
                part = siblings.html(entry)
                page = self._site / CELLS / f"{entry.stem}.html"
                _write(page, splice(page.read_text("utf-8", "replace"), part))
                entry.siblings_digest = digest

    def _put_site_pages(
        self, entries: Sequence[SiteEntry], before: Sequence[KeptComparison]
    ) -> list[KeptComparison]:
        """Write the pages of all cells; return the comparisons that the next run can take."""
        cells = placed_cells(entries)
        write_if_other(self._site / OVERVIEW_FILE, overview_page(cells, len(entries) - len(cells)))
        write_if_other(self._site / LIST_FILE, list_page(entries))
        (self._site / COMPARISONS).mkdir(exist_ok=True)
        gone = set((self._site / COMPARISONS).glob("*.html"))
        there = [each for each in before if self._site / each.file in gone]
        comparisons = ComparisonPages(cells, maker_digest(), there)
        for file, text in comparisons.pages():
            if text is not None:
                write_if_other(self._site / file, text)
            gone.discard(self._site / file)
        for page in gone:
            page.unlink()
        return comparisons.kept

    def _remove(self, stems: set[str]) -> int:
        """Remove the pages of cells that are gone, of whichever run: only files with such names."""
        gone: set[str] = set()
        for folder in (CELLS, BADGES):
            for file in (self._site / folder).iterdir():
                match = _OWN_FILE.fullmatch(file.name)
                if match is not None and (match["part"] or match["stem"] not in stems):
                    file.unlink()
                    gone.add(match["stem"])
        return len(gone - stems)


_END_OF_PAGE = b"</html>"
_OWN_FILE = re.compile(rf"(?P<stem>{STEM})\.(?:html|svg|json|messages\.js)(?P<part>\.part)?")


def write_if_other(file: Path, text: str) -> None:
    """Write a file unless it holds this text already."""
    if not file.is_file() or file.read_bytes() != text.encode():
        _write(file, text)


def _is_whole(page: Path) -> bool:
    """Return whether a page is there to its end: a full disk or a power failure may have left less."""
    try:
        with page.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_END_OF_PAGE)))
            return file.read() == _END_OF_PAGE
    except FileNotFoundError:
        return False


def _write(file: Path, text: str) -> None:
    """Write a file, or leave the old one: the next run keeps what is there."""
    partial_of(file).write_text(text, "utf-8")
    partial_of(file).replace(file)

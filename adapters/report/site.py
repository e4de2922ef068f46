"""Makes a site: a page and a badge for each cell, and the pages of all of them.

A first pass reads each cell whose content changed, and writes its page. What other pages need of it is
kept as an entry of a few hundred bytes. A second pass puts the links to siblings into the pages in
which they changed. So memory does not grow with the size of cells, and a run after ten changes does
the work of ten cells.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from cab.adapters.report.cell.facts import read_report_cell
from cab.adapters.report.cell.page import CellPage, cell_page
from cab.adapters.report.cell_list import FILE as LIST_FILE
from cab.adapters.report.cell_list import list_page
from cab.adapters.report.comparison.pages import comparison_pages
from cab.adapters.report.entries import SiteEntry, entry_of, run_key
from cab.adapters.report.names import page_stem
from cab.adapters.report.overview.page import FILE as OVERVIEW_FILE
from cab.adapters.report.overview.page import overview_page
from cab.adapters.report.render.badge import badge_endpoint, badge_svg
from cab.adapters.report.render.frame import ASSETS, PageFrame
from cab.adapters.report.siblings import Siblings, splice
from cab.adapters.report.state import (
    MadePages,
    content_digest,
    maker_digest,
    read_state,
    write_state,
)
from cab.proxy.control.live.files import STYLESHEET
from cab.scoring.errors import BadRecord, ScoringError
from cab.scoring.score import ScoredCell, find_cells, score_cells

CELLS, BADGES, ASSETS_FOLDER, COMPARISONS = "cells", "badges", "assets", "compare"


def _site_pages(entries: Sequence[SiteEntry]) -> Iterator[tuple[str, str]]:
    """Yield file and text of the pages of all cells, from the entries in the order of their ids."""
    yield OVERVIEW_FILE, overview_page(entries)
    yield LIST_FILE, list_page(entries)
    yield from comparison_pages(entries)


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
    """

    def __init__(
        self,
        site: Path,
        *,
        base_url: str,
        on_error: Callable[[ScoringError], None],
        on_cell: Callable[[int], None],
    ) -> None:
        self._site = site
        self._base_url = base_url
        self._on_error = on_error
        self._on_cell = on_cell
        self._names = _Names()
        self._shown: set[str] = set()
        self._digests: set[str] = set()
        self._rendered = self._done = 0

    def build(self, paths: Iterable[Path]) -> SiteReport:
        """Make or renew the site of the cells below some paths.

        Raises:
            AdapterError: The folder holds something else.
            OSError: A file cannot be written.
        """
        before = read_state(self._site)
        for folder in (CELLS, BADGES):
            (self._site / folder).mkdir(parents=True, exist_ok=True)
        shutil.copytree(ASSETS, self._site / ASSETS_FOLDER, dirs_exist_ok=True)
        shutil.copy2(STYLESHEET, self._site / ASSETS_FOLDER)
        made = [pages for path in paths for pages in self._made(path, before)]
        entries = sorted(
            (entry for pages in made for entry in pages.entries),
            key=lambda entry: (entry.cell_id, entry.stem),
        )
        self._put_siblings(entries)
        self._put_site_pages(entries)
        removed = self._remove(before, {entry.stem for entry in entries})
        write_state(self._site, made)
        return SiteReport(len(entries), self._rendered, removed)

    def _made(self, path: Path, before: dict[str, MadePages]) -> Iterator[MadePages]:
        made_by = f"{maker_digest()}\0{self._base_url}"
        try:
            for found in find_cells(path):
                try:
                    digest = content_digest(found, made_by)
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
        if kept is not None and all(map(self._is_kept, kept.entries)):
            self._shown.update(entry.stem for entry in kept.entries)
            return kept
        made = [self._render(scored) for scored in score_cells(path, on_error=self._on_error)]
        return MadePages(digest, [entry for entry in made if entry is not None])

    def _is_kept(self, entry: SiteEntry) -> bool:
        """Return whether the page of an entry is there, under the name that it has to have."""
        page = self._site / CELLS / f"{entry.stem}.html"
        named = self._names.name(entry.cell_id, entry.run_key) == entry.stem
        return named and entry.stem not in self._shown and page.is_file()

    def _render(self, scored: ScoredCell) -> SiteEntry | None:
        """Write the files of a cell; None if it is a copy of one that was written."""
        try:
            cell = read_report_cell(scored)
            stem = self._names.name(cell.cell_id, run_key(cell))
            if stem in self._shown:
                return None
            page = cell_page(cell, stem, self._base_url, PageFrame(root="../"))
        except ScoringError as error:
            self._on_error(error)
            return None
        self._shown.add(stem)
        self._write(stem, page)
        self._rendered += 1
        return entry_of(cell, stem)

    def _write(self, stem: str, page: CellPage) -> None:
        (self._site / CELLS / f"{stem}.html").write_text(page.html, "utf-8")
        (self._site / BADGES / f"{stem}.svg").write_text(badge_svg(page.badge), "utf-8")
        data = orjson.dumps(badge_endpoint(page.badge))
        (self._site / BADGES / f"{stem}.json").write_bytes(data)

    def _put_siblings(self, entries: Sequence[SiteEntry]) -> None:
        siblings = Siblings(entries)
        for entry in entries:
            digest = siblings.digest(entry)
            if digest != entry.siblings_digest:
                part = siblings.html(entry)
                page = self._site / CELLS / f"{entry.stem}.html"
                page.write_text(splice(page.read_text("utf-8"), part), "utf-8")
                entry.siblings_digest = digest

    def _put_site_pages(self, entries: Sequence[SiteEntry]) -> None:
        (self._site / COMPARISONS).mkdir(exist_ok=True)
        gone = set((self._site / COMPARISONS).glob("*.html"))
        for file, text in _site_pages(entries):
            write_if_other(self._site / file, text)
            gone.discard(self._site / file)
        for page in gone:
            page.unlink()

    def _remove(self, before: dict[str, MadePages], stems: set[str]) -> int:
        """Remove the pages of cells that are gone: only what this command wrote."""
        gone = {entry.stem for pages in before.values() for entry in pages.entries} - stems
        for stem in gone:
            for folder, suffix in ((CELLS, "html"), (BADGES, "svg"), (BADGES, "json")):
                (self._site / folder / f"{stem}.{suffix}").unlink(missing_ok=True)
        return len(gone)


def write_if_other(file: Path, text: str) -> None:
    """Write a file unless it holds this text already."""
    if not file.is_file() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")

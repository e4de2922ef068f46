"""What `cab score` does, as a library: any form of cell in, one result per cell out.

A cell is a bundle, a published page, or a file of another harness; a file is recognised by its
content.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cab.scoring.axes import Axes
from cab.scoring.cells.bundle import (
    AFTER_FILE,
    BEFORE_FILE,
    CALLS_FILE,
    CELL_FILE,
    MARKER_FILE,
    SEAL_FILE,
    read_bundle,
    score_bundle,
)
from cab.scoring.cells.cell import Cell, SelfReport, dump_cell
from cab.scoring.cells.published import PublishedCell
from cab.scoring.errors import BadRecord, ScoringError
from cab.scoring.files import StrPath, walk
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.profiles.builtin import (
    DEFAULT_PROFILE,
    PUBLISHED,
    composite,
    composites,
    find_profile,
)
from cab.scoring.profiles.composite import Composite
from cab.scoring.profiles.model import Profile

if TYPE_CHECKING:
    from cab.scoring.imports import ImportedCell, Note

_BUNDLE_FILES = frozenset({CELL_FILE, BEFORE_FILE, AFTER_FILE, MARKER_FILE})
"""Any of them makes a folder a bundle, if perhaps a broken one, which must not go unnoticed."""

_COMPOSITE_KEYS = (
    *("verdict", "reason", "coverage", "cost_form", "weights", "components"),
    *("terms", "divisor", "factors", "note"),
)
"""Keys of a composite that a result repeats unchanged."""


@with_field_texts
@dataclass(frozen=True, slots=True)
class ScoredCell:
    """A cell and its score under one profile."""

    path: Path
    """The bundle's folder, or the file."""
    cell_id: str
    """Which cell."""
    axes: Axes
    """Its axes."""
    composite: Composite
    """Its composite under the profile."""
    profiles: dict[str, Composite]
    """Its composites under the profiles that every cell is scored by, name -> composite."""
    cell: Cell | None
    """The cell made from the bundle's facts; None for a page, or a file of another harness."""
    identical: bool | None
    """Whether the stored score is what comes out again: of a bundle the bytes of its `cell.json`,
    of a lone file its published composite; None where no score is stored."""
    self_reported: SelfReport | None = None
    """The agent's own count, or what another harness wrote down; None if there is none."""
    imported: "ImportedCell | None" = None
    """What a file of another harness holds; None for a cell of ours and for a page."""
    sealed: bool | None = None
    """Whether a bundle's calls are those of its seal; None for a lone file, which has no calls."""

    @property
    def run_id(self) -> tuple[str | None, ...] | None:
        """What is unique of a run of another harness; None if it gave the run no id of its own."""
        origin = None if self.imported is None else self.imported.origin
        if origin is None or origin.id is None:
            return None
        return origin.form, origin.id, origin.name

    @property
    def checked(self) -> list[str]:
        """What was found to hold, apart from the score; a seal's signature is not among it."""
        return [f"{CALLS_FILE} against {SEAL_FILE}"] if self.sealed else []

    @property
    def not_checked(self) -> list[str]:
        """What the cell states and nothing here shows."""
        if self.sealed is not False:
            return []
        return [
            f"{CALLS_FILE}: no {SEAL_FILE} says that these are the cell's calls, and all of them"
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON: cell, profile, composite, and the axes under their keys."""
        # A page has fewer keys than a cell of ours; keys that it does not have are not made up.
        axes = self.axes.model_dump(mode="json", by_alias=True, exclude_unset=self.cell is None)
        parts = self.composite.model_dump(mode="json")
        return {
            "cell_id": self.cell_id,
            "profile": self.composite.profile,
            "composite": self.composite.composite,
            **{key: parts[key] for key in _COMPOSITE_KEYS},
            "profiles": {name: made.composite for name, made in self.profiles.items()},
            **{name: axes[name] for name in Axes.model_fields if name in axes},
            "path": str(self.path),
            "rescored_from": self._source(),
            "identical": self.identical,
            "checked": self.checked,
            "not_checked": self.not_checked,
            "self_reported": (
                None if self.self_reported is None else self.self_reported.model_dump(mode="json")
            ),
            "stopped": self._stopped(),
            **self._origin(),
        }

    def _origin(self) -> dict[str, Any]:
        if self.imported is None:
            return {}
        origin = self.imported.origin.model_dump(mode="json")
        return {"imported": {**origin, "notes": self.imported.notes}}

    def _source(self) -> str:
        if self.imported is not None:
            return "self_reported"
        return "scores" if self.cell is None else "facts"

    def _stopped(self) -> bool | None:
        """Return whether the agent was stopped at its time limit, None if nothing says so."""
        if self.imported is not None:
            return self.imported.stopped
        if self.cell is None:
            return None
        spans = [span for span in self.cell.spans if span.kind == "container"]
        return any(span.attrs.get("timed_out") is True for span in spans)


def score_path(
    path: StrPath,
    profile: str | Profile = DEFAULT_PROFILE,
    on_error: Callable[[ScoringError], None] | None = None,
    on_note: "Callable[[Note], None] | None" = None,
) -> Iterator[dict[str, Any]]:
    """Yield one result per cell below a path.

    Args:
        path: A bundle's folder, a `cell.json`, a published cell, a file of another harness, or a
            folder of any of these.
        profile: A profile, or the name of one.
        on_error: Called with the error of each cell that cannot be scored, and the others go on;
            without it the first such error ends the iteration.
        on_note: Called with each value or row of another harness's file that could not be read and was
            left out; without it each is a `ReadingWarning`.

    Raises:
        UnknownProfile: There is no such profile.
        BadRecord: A cell cannot be read and there is no `on_error`, or there is no cell at all.
    """
    path = Path(path)
    for cell in score_cells(path, profile, on_error, on_note):
        yield cell.as_dict()


def score_cells(
    path: StrPath,
    profile: str | Profile = DEFAULT_PROFILE,
    on_error: Callable[[ScoringError], None] | None = None,
    on_note: "Callable[[Note], None] | None" = None,
) -> Iterator[ScoredCell]:
    """Yield the scored cells below a path; arguments and errors as for `score_path`.

    A run of another harness that has an id of its own counts once, however many copies there are.
    """
    path = Path(path)
    chosen = find_profile(profile) if isinstance(profile, str) else profile
    copies = _Copies()
    for found in find_cells(path, on_note):
        try:
            scored = _score_all(found, chosen, on_note)
            yield from (cell for cell in scored if not copies.holds(cell, on_note))
        except BadRecord as error:
            if on_error is None:
                raise
            on_error(error)


class _Copies:
    """The runs of other harnesses that were met, by the ids that these gave them."""

    def __init__(self) -> None:
        self._met: dict[tuple[str | None, ...], Path] = {}

    def holds(self, scored: ScoredCell, on_note: "Callable[[Note], None] | None") -> bool:
        """Return whether a cell is a copy of one that was met, which is noted."""
        run_id = scored.run_id
        if run_id is None:
            return False
        first = self._met.setdefault(run_id, scored.path)
        if first is scored.path:
            return False
        from cab.scoring.imports.reading.input_file import Note, say  # noqa: PLC0415 - see _score_all

        say([Note(str(scored.path), None, f"is a copy of {first}: it counts once")], on_note)
        return True


def find_cells(path: StrPath, on_note: "Callable[[Note], None] | None" = None) -> Iterator[Path]:
    """Yield the cells below a path, in the order of their names.

    A folder holds bundles, at any depth; or files of other harnesses under the names that these
    give them, at any depth; or any other files of cells, directly in it. A bundle is not searched
    further: what an agent left in it is not a cell. Links are not followed.

    Args:
        path: A file or a folder.
        on_note: Called with what a file says of the others that are missing; as for `score_path`.

    Raises:
        BadRecord: There is nothing of the kind, or a folder cannot be searched.
    """
    path = Path(path)
    if not path.is_dir():
        yield path
        return
    found = False
    for cell in _find_bundles(path):
        found = True
        yield cell
    if found:
        return
    from cab.scoring.imports.discover import find_files  # noqa: PLC0415 - see _score_all

    for file in find_files(path, on_note):
        found = True
        yield file
    if not found:
        raise BadRecord(str(path), None, f"holds no cell: a bundle has a {CELL_FILE}")


def _find_bundles(path: Path) -> Iterator[Path]:
    for folder, subfolders, files in walk(path):
        if not _BUNDLE_FILES.isdisjoint(files):
            subfolders.clear()
            yield folder


def score_one(path: StrPath, profile: str | Profile = DEFAULT_PROFILE) -> ScoredCell:
    """Return the score of one bundle, `cell.json`, published cell or file of another harness.

    Raises:
        UnknownProfile: There is no such profile.
        BadRecord: The cell cannot be read, or the file holds several.
    """
    path = Path(path)
    cells = list(_score_all(path, profile))
    if len(cells) != 1:
        raise BadRecord(str(path), None, f"holds {len(cells)} cells, not one")
    return cells[0]


def _score_all(
    path: Path, profile: str | Profile, on_note: "Callable[[Note], None] | None" = None
) -> Iterator[ScoredCell]:
    folder = _bundle_of(path)
    if folder is not None:
        yield _score_folder(folder, profile)
        return
    # Who scores bundles does not wait for the readers of other harnesses' files.
    from cab.scoring.imports.detect import read_cells  # noqa: PLC0415

    cells = read_cells(path, on_note)
    if isinstance(cells, PublishedCell):
        yield _score_page(path, cells, profile)
    else:
        yield from (_score_import(path, cell, profile) for cell in cells)


def _bundle_of(path: Path) -> Path | None:
    """Return the bundle that a path names: a folder, or a `cell.json` beside its facts."""
    if path.is_dir():
        return path
    beside = path.name == CELL_FILE and all(
        (path.parent / name).exists() for name in (BEFORE_FILE, AFTER_FILE)
    )
    return path.parent if beside else None


def _score_folder(path: Path, profile: str | Profile) -> ScoredCell:
    bundle = read_bundle(path)
    cell = score_bundle(bundle)
    return ScoredCell(
        path=path,
        cell_id=cell.identity.cell_id,
        axes=cell.scorers,
        composite=composite(profile, cell.scorers),
        profiles=cell.profiles,
        cell=cell,
        identical=dump_cell(cell) == (path / CELL_FILE).read_bytes(),
        self_reported=cell.self_reported,
        sealed=bundle.sealed,
    )


def _score_page(path: Path, page: PublishedCell, profile: str | Profile) -> ScoredCell:
    profiles = composites(page.axes)
    known = page.composite is not None
    return ScoredCell(
        path=path,
        cell_id=page.cell_id,
        axes=page.axes,
        composite=composite(profile, page.axes),
        profiles=profiles,
        cell=None,
        identical=profiles[PUBLISHED].composite == page.composite if known else None,
        self_reported=page.self_reported,
    )


def _score_import(path: Path, cell: "ImportedCell", profile: str | Profile) -> ScoredCell:
    axes = cell.axes
    return ScoredCell(
        path=path,
        cell_id=cell.cell_id,
        axes=axes,
        composite=composite(profile, axes),
        profiles=composites(axes),
        cell=None,
        identical=None,
        self_reported=cell.self_reported,
        imported=cell,
    )

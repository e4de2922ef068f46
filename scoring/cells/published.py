"""Published cells: a cell's page, read back and scored again.

A page holds scores and no facts, so a published cell is scored from its own axes. The same reader
serves a `cell.json` that was taken out of its bundle.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from cab.scoring.axes import KnownAxes
from cab.scoring.cells.cell import CELL_SCHEMA, SelfReport
from cab.scoring.files import FileModel, StrPath, read_object, validated
from cab.scoring.ledger.records import Count

_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3}){0,4}|[0-9]{1,15}")

_OWN = ("tui", "self_reported")
"""What the source of an agent's own count begins with."""


def _ungrouped(count: object) -> object:
    """Return a count; pages write it as text, with commas, and words where they have none."""
    if isinstance(count, str) and _GROUPED.fullmatch(count):
        return int(count.replace(",", ""))
    words = isinstance(count, str) and not any(letter.isdigit() for letter in count)
    return None if words else count


_PageCount = Annotated[Count | None, BeforeValidator(_ungrouped)]


class _Identity(FileModel):
    cell_id: str


class _Composite(FileModel):
    composite: float | None = None


class _Scorers(KnownAxes):
    composite: _Composite = _Composite()


class _Timing(FileModel):
    prompt_tokens: _PageCount = None
    completion_tokens: _PageCount = None
    tokens_source: str | None = None


class _Page(FileModel):
    """The parts of a page that a score needs."""

    identity: _Identity
    timing: _Timing = _Timing()
    scorers: _Scorers


class _OwnCount(FileModel):
    """What a `cell.json` holds beyond a page."""

    self_reported: SelfReport | None = None


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A cell as its page gives it."""

    cell_id: str
    """As published; pages of other harnesses need not split it as we do."""
    axes: KnownAxes
    """The six axes, verbatim, except that `refusal_correct` is never a text."""
    composite: float | None
    """The number on the page, None where there is none."""
    self_reported: SelfReport | None = None
    """The agent's own count, if the page shows one."""


def read_published(path: StrPath) -> PublishedCell:
    """Return the cell of a page in JSON form, or of a `cell.json` on its own.

    Raises:
        BadRecord: A published key is missing or of the wrong type.
    """
    path = Path(path)
    return published_of(read_object(path), path)


def published_of(data: Mapping[str, object], path: Path) -> PublishedCell:
    """Return the cell of a page that is parsed already.

    Args:
        data: The page in JSON form.
        path: File that it is from, for errors.

    Raises:
        BadRecord: A published key is missing or of the wrong type.
    """
    page = validated(_Page, data, path)
    return PublishedCell(
        cell_id=page.identity.cell_id,
        axes=page.scorers,
        composite=page.scorers.composite.composite,
        self_reported=_own_count(page.timing, data, path),
    )


def _own_count(timing: _Timing, data: Mapping[str, object], path: Path) -> SelfReport | None:
    if data.get("schema") == CELL_SCHEMA:
        # The tokens under its timing are the meter's.
        return validated(_OwnCount, data, path).self_reported
    prompt, completion = timing.prompt_tokens, timing.completion_tokens
    # A page has zeros where nothing was counted, and says so itself where it was not the agent.
    source = "_".join((timing.tokens_source or "self_reported").lower().split())
    if not (prompt or completion) or not source.startswith(_OWN):
        return None
    return SelfReport(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=None if prompt is None or completion is None else prompt + completion,
        source=source,
        exact=False,
    )

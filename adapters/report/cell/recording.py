"""The recording of the terminal, for the player of the page."""

from dataclasses import dataclass

import orjson

from cab.adapters.output.places import without_places
from cab.adapters.report.cell.facts import ReportCell
from cab.scoring.files import check_regular, is_list, is_object, naming

RECORDING_FILE = "recording.cast"

_MOST_BYTES = 2 << 20
"""Of a recording within a page; what comes later is in the bundle."""
_MOST_S = 10**7
_NO_TERMINAL = "dumb"
"""TERM of an agent that writes to pipes."""


@dataclass(frozen=True, slots=True)
class PageRecording:
    """A recording as the page holds it."""

    cast: str
    """Asciicast v2."""
    has_terminal: bool
    """Whether the agent had a terminal; else it is what it flushed into pipes."""
    events: int
    end_s: float
    """When the last event came."""
    columns: int
    rows: int
    is_cut: bool


def page_recording(cell: ReportCell) -> PageRecording | None:
    """Return the recording; None if there is none, or nothing in it that could be shown.

    Raises:
        BadRecord: It cannot be read.
    """
    file = None if cell.folder is None else cell.folder / RECORDING_FILE
    if file is None or not file.is_file():
        return None
    size_bytes = check_regular(file)
    with naming(file), file.open("rb") as handle:
        lines = handle.read(_MOST_BYTES).split(b"\n")
    header = _parsed(lines[0])
    if not is_object(header):
        return None
    columns, rows = _size(header.get("width")), _size(header.get("height"))
    environment = header.get("env")
    term = environment.get("TERM") if is_object(environment) else None
    events = [event for line in lines[1:] if (event := _event(_parsed(line))) is not None]
    if not events:
        return None
    # Nothing else of the header: a title or a theme is not the player's business.
    made = [{"version": 2, "width": columns, "height": rows}, *events]
    return PageRecording(
        cast="\n".join(orjson.dumps(line).decode() for line in made),
        has_terminal=term not in {None, _NO_TERMINAL},
        events=len(events),
        end_s=events[-1][0],
        columns=columns,
        rows=rows,
        is_cut=size_bytes > _MOST_BYTES,
    )


def _parsed(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # the last line of what was read may be cut


def _size(value: object) -> int:
    return min(max(value, 20), 400) if isinstance(value, int) else 80


def _event(event: object) -> tuple[float, str, str] | None:
    """Return an event of output; None for one of another kind."""
    if not is_list(event) or len(event) != 3:
        return None
    at, kind, text = event
    if isinstance(at, bool) or not isinstance(at, int | float) or not isinstance(text, str):
        return None
    known = kind == "o" and 0 <= at <= _MOST_S
    return (float(at), "o", without_places(text)) if known else None

"""Why no model call of a cell succeeded, for people: a wrong key or model is seldom what one wanted to score."""

from collections import Counter
from pathlib import Path

from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.totals import is_model_call
from cab.scoring.score import ScoredCell

_MOST = 3


def no_call_succeeded(bundle: Path, scored: ScoredCell) -> str | None:
    """Return how the calls failed, in one line; None if one succeeded, or there was none.

    Args:
        bundle: The cell's folder.
        scored: The cell.

    Raises:
        BadRecord: The bundle's calls cannot be read.
    """
    calls = scored.axes.calls
    if calls is None or calls.succeeded != 0 or not calls.failed:
        return None
    ways = Counter(
        (
            f"HTTP {end.status}" if end.status is not None else end.end_reason,
            "" if end.error is None else f": {end.error.message}",
        )
        for end in iter_calls(bundle / CALLS_FILE)
        if is_model_call(end)
    )
    parts = [f"{count} x {status}{said}" for (status, said), count in ways.most_common(_MOST)]
    return f"no model call succeeded: {'; '.join(parts)}"

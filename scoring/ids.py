"""Cell ids: `<sweep>/<tui>/<model>/<family>/<task>[#runN]`, where the model itself may hold slashes.

An id is also a path below the folder of runs, so no part of it may climb.
"""

import re
from dataclasses import dataclass

from cab.scoring.errors import BadCellId

_RUN = re.compile(r"(?P<head>.*)#run(?P<run>[1-9][0-9]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CellId:
    """The parts of a cell id; `str()` gives the id back.

    Args:
        sweep: Named batch of cells.
        tui: The agent CLI.
        model: Model as the endpoint names it; may hold slashes.
        family: Family of the task.
        task: Name of the task within its family.
        run: 1-based number of the run, None where the cell has only one.

    Raises:
        BadCellId: A part is empty, climbs, or would not read back as the same part.
    """

    sweep: str
    tui: str
    model: str
    family: str
    task: str
    run: int | None = None

    def __post_init__(self) -> None:
        for name in ("sweep", "tui", "model", "family", "task"):
            _check_part(name, getattr(self, name), str(self))
        if "#" in self.task:
            raise BadCellId(str(self), "the task's name holds '#', which starts the run")
        if self.run is not None and self.run < 1:
            raise BadCellId(str(self), "runs are counted from 1")

    @property
    def task_id(self) -> str:
        """The task as `family/task`."""
        return f"{self.family}/{self.task}"

    def __str__(self) -> str:
        run = "" if self.run is None else f"#run{self.run}"
        return f"{self.sweep}/{self.tui}/{self.model}/{self.family}/{self.task}{run}"


def parse_cell_id(text: str) -> CellId:
    """Return the parts of a cell id, split from both ends.

    Raises:
        BadCellId: The text is not a cell id.

    >>> parse_cell_id("free/aider/stepfun-ai/step-3.5-flash/polyglot/rust#run2").model
    'stepfun-ai/step-3.5-flash'
    """
    match = _RUN.fullmatch(text)
    head, run = (match["head"], int(match["run"])) if match else (text, None)
    parts = head.split("/")
    if len(parts) < 5:
        raise BadCellId(text, f"it has {len(parts)} of at least 5 parts")
    sweep, tui, *model, family, task = parts
    return CellId(sweep, tui, "/".join(model), family, task, run)


def _check_part(name: str, value: str, text: str) -> None:
    segments = value.split("/")
    if name != "model" and len(segments) > 1:
        raise BadCellId(text, f"the {name} holds a slash")
    for segment in segments:
        if not segment:
            raise BadCellId(text, f"the {name} has an empty part")
        if segment in {".", ".."}:
            raise BadCellId(text, f"the {name} holds {segment!r}, which would leave the folder")
        if not segment.isprintable():
            raise BadCellId(text, f"the {name} holds a character that cannot be printed")

"""Cell ids: `<sweep>/<tui>/<model>/<family>/<task>[#runN]`, where the model itself may hold slashes.

An id is also a path below the folder of runs, so no part of it may climb. But endpoints name models as
they like, also by a path: `/models/llama-3`. So a model has two names: the one that is sent, verbatim, and
its place in an id, where what an id cannot hold is written in percent-encoding (RFC 3986, section 2.1):

    /models/llama-3     %2Fmodels/llama-3       a slash that would leave an empty part
    ./llama-3           %2E/llama-3             a part that is `.` or `..`

All other names stand in an id as they are, so ids from before this rule keep their meaning, `%` included.
Only a name that reads like such an encoding is encoded once more (`%2Fm` as `%252Fm`).
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from cab.scoring.errors import BadCellId

_RUN = re.compile(r"(?P<head>.*)#run(?P<run>[1-9][0-9]*)", re.DOTALL)
_ANY = "surrogatepass"
_NOT_IN_AN_ID = re.compile(
    r"%|^/|/\Z|(?<=/)/"  # the slashes beside an empty part
    r"|(?<![^/])\.{1,2}(?![^/])"  # `.` or `..` as a part
)


@dataclass(frozen=True, slots=True)
class CellId:
    """The parts of a cell id; `str()` gives the id back.

    Args:
        sweep: Named batch of cells.
        tui: The agent CLI.
        model: Model as the endpoint names it; may hold slashes, also at its ends.
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
        for name in ("sweep", "tui", "model_part", "family", "task"):
            _check_part(name.removesuffix("_part"), getattr(self, name), str(self))
        if "#" in self.task:
            raise BadCellId(str(self), "the task's name holds '#', which starts the run")
        if self.run is not None and self.run < 1:
            raise BadCellId(str(self), "runs are counted from 1")

    @property
    def task_id(self) -> str:
        """The task as `family/task`."""
        return f"{self.family}/{self.task}"

    @property
    def model_part(self) -> str:
        """The model as it stands in the id; a relative path that does not climb.

        >>> CellId("s", "aider", "/models/llama-3", "polyglot", "twin").model_part
        '%2Fmodels/llama-3'
        """
        if _needs_encoding(self.model) or _decoded(self.model) is not None:
            return _encoded(self.model)
        return self.model

    def __str__(self) -> str:
        run = "" if self.run is None else f"#run{self.run}"
        return f"{self.sweep}/{self.tui}/{self.model_part}/{self.family}/{self.task}{run}"


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
    sweep, tui, *model_parts, family, task = parts
    model_part = "/".join(model_parts)
    _check_part("model", model_part, text)
    model = _decoded(model_part)
    return CellId(sweep, tui, model_part if model is None else model, family, task, run)


def _encoded(model: str) -> str:
    text = _NOT_IN_AN_ID.sub(lambda found: "".join(f"%{ord(c):02X}" for c in found[0]), model)
    return "".join(c if c.isprintable() else quote(c, errors=_ANY) for c in text)


def _decoded(part: str) -> str | None:
    """Return the model whose encoded name this is; None if it is a name that stands for itself."""
    if "%" not in part:
        return None
    try:
        model = unquote(part, errors=_ANY)
    except UnicodeDecodeError:
        return None
    if _encoded(model) != part:
        return None
    return model if _needs_encoding(model) or _decoded(model) is not None else None


def _needs_encoding(model: str) -> bool:
    return not model.isprintable() or any(part in {"", ".", ".."} for part in model.split("/"))


def _check_part(name: str, value: str, text: str) -> None:
    segments = value.split("/")
    if name != "model" and len(segments) > 1:
        raise BadCellId(text, f"the {name} holds a slash")
    for segment in segments:
        if not segment:
            fix = "; write its slash as %2F" if name == "model" and len(segments) > 1 else ""
            raise BadCellId(text, f"the {name} has an empty part{fix}")
        if segment in {".", ".."}:
            raise BadCellId(text, f"the {name} holds {segment!r}, which would leave the folder")
        if not segment.isprintable():
            raise BadCellId(text, f"the {name} holds a character that cannot be printed")

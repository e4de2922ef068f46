"""A cell's patch as a prediction that the SWE-bench harness evaluates.

The agent's scratch files are not in it, nor what no patch can hold: one of those would make the harness
refuse the whole patch.

The instance is the task's name, so tasks of that benchmark must be named as it names them. Who made
the patch is the agent with the model, `<tui>/<model>`: the same model in two agents is two entries.
"""

from typing import Any, NamedTuple

from cab.scoring.cells.bundle import PATCH_FILE
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.globs import matches
from cab.scoring.evidence.patch_lines import iter_patch
from cab.scoring.exports.source import Source
from cab.scoring.files import check_size


class Prediction(NamedTuple):
    """A prediction, and what of the cell's changes is not in it."""

    line: dict[str, Any]
    """The members that the harness reads."""
    left_out: list[str]
    """Changed paths that are scratch files, or that no patch can hold; sorted."""


def prediction(source: Source) -> Prediction:
    """Return the prediction.

    Raises:
        BadRecord: There is no patch, or it is not UTF-8, or too large.
    """
    cell_id = source.cell_id
    patch, left_out = _patch(source)
    line = {
        "instance_id": cell_id.task,
        "model_name_or_path": f"{cell_id.tui}/{cell_id.model}",
        "model_patch": patch,
    }
    return Prediction(line, left_out)


def _patch(source: Source) -> tuple[str, list[str]]:
    file = source.file(PATCH_FILE)
    if file is None:
        # An empty patch would be evaluated, and fail: that is another thing than not knowing it.
        raise BadRecord(str(source.path), None, f"has no {PATCH_FILE}, so there is no prediction")
    check_size(file)
    scratch, kept, left_out = source.cell.task.scratch_files, list[bytes](), set[str]()
    for part in iter_patch(file):
        if part.lines.shown and not matches(part.path, scratch):
            kept.append(part.text)
        else:
            left_out.add(part.path)
    try:
        return b"".join(kept).decode(), sorted(left_out)
    except UnicodeDecodeError as error:
        raise BadRecord(str(file), None, "is not UTF-8, and JSON holds nothing else") from error

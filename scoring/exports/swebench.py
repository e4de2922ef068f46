"""A cell's patch as a prediction that the SWE-bench harness evaluates.

The instance is the task's name, so tasks of that benchmark must be named as it names them. Who made
the patch is the agent with the model, `<tui>/<model>`: the same model in two agents is two entries.
"""

from typing import Any

from cab.scoring.cells.bundle import PATCH_FILE
from cab.scoring.errors import BadRecord
from cab.scoring.exports.source import Source
from cab.scoring.files import read_bytes


def prediction(source: Source) -> dict[str, Any]:
    """Return the prediction.

    Raises:
        BadRecord: There is no patch, or it is not UTF-8, or too large.
    """
    cell_id = source.cell_id
    return {
        "instance_id": cell_id.task,
        "model_name_or_path": f"{cell_id.tui}/{cell_id.model}",
        "model_patch": _patch(source),
    }


def _patch(source: Source) -> str:
    file = source.file(PATCH_FILE)
    if file is None:
        # An empty patch would be evaluated, and fail: that is another thing than not knowing it.
        raise BadRecord(str(source.path), None, f"has no {PATCH_FILE}, so there is no prediction")
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise BadRecord(str(file), None, "is not UTF-8, and JSON holds nothing else") from error

"""Cells of other harnesses, read from the files that these write themselves.

from pathlib import Path
from cab.scoring import imports

cell = imports.read_harbor(Path("jobs/nightly/fix-git__Xk3/result.json"))
print(cell.cell_id, cell.passed, cell.self_reported)

Nothing of such a cell was metered: its counts are `self_reported`, beside the meter's and never in
their place. `cab.scoring.score_cells` reads all forms by itself, and so does `read_cells`, of which more
are known than have a reader of their own here. `docs/formats.md` says which forms and versions, and what
each of them does not say.
"""

from cab.scoring.imports.aider import read_aider_results as read_aider_results
from cab.scoring.imports.detect import read_cells as read_cells
from cab.scoring.imports.harbor import read_harbor as read_harbor
from cab.scoring.imports.minisweagent import read_mini_trajectory as read_mini_trajectory
from cab.scoring.imports.model import FileForm as FileForm
from cab.scoring.imports.model import ImportedCell as ImportedCell
from cab.scoring.imports.model import Origin as Origin
from cab.scoring.imports.model import OwnCount as OwnCount
from cab.scoring.imports.pages import read_page as read_page
from cab.scoring.imports.reading.input_file import Note as Note
from cab.scoring.imports.reading.input_file import ReadingWarning as ReadingWarning
from cab.scoring.imports.swebench.predictions import (
    read_swebench_predictions as read_swebench_predictions,
)
from cab.scoring.imports.swebench.reports import read_swebench_report as read_swebench_report

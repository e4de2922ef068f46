"""Cells and calls in the formats of other tools; docs/formats.md says what each carries and loses.

    table      a cell as a row of typed columns
    atif       a cell's calls as a trajectory of Harbor, ATIF 1.7
    swebench   a cell's patch as a SWE-bench prediction
    inspect    cells of one agent and model as an Inspect log
    otel       a call under the GenAI attribute names of OpenTelemetry

What is unknown is left out, or null where the format has nulls; it is never 0. The same cells give
the same bytes.
"""

from cab.scoring.cells.cell import cell_line as cell_line
from cab.scoring.exports.atif import trajectory as trajectory
from cab.scoring.exports.inspect.log import Group as Group
from cab.scoring.exports.inspect.log import InspectLog as InspectLog
from cab.scoring.exports.inspect.sample import sample as sample
from cab.scoring.exports.otel import span as span
from cab.scoring.exports.source import Source as Source
from cab.scoring.exports.source import source_of as source_of
from cab.scoring.exports.swebench import prediction as prediction
from cab.scoring.exports.table import COLUMNS as COLUMNS
from cab.scoring.exports.table import row_of as row_of

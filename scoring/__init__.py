"""Scores of coding agents from what was measured: records in, scores out.

    from pathlib import Path
    from cab.scoring import aggregate, iter_records, observe, observe_row
    from cab.scoring import score_path, score_tokens, sum_calls
    # the calls of one run in a ledger; `prefix=` takes the beginning of ids
    records = iter_records(Path("cab-ledger"), cell="local/aider/m/f/t#run1")
    tokens = score_tokens(sum_calls(records), passed=1)
    print(tokens.model_calls, tokens.total_tokens, tokens.by_source)
    # whole cells: bundles, published pages, files of other harnesses
    for cell in score_path(Path("runs"), "measured/1"):
        print(cell["cell_id"], cell["composite"], cell["tokens"]["total_tokens"])
    # sets of cells, and rows of your own, with an uncertainty on every estimate
    cells = [observe(cell) for cell in score_path(Path("runs"))]
    cells.append(observe_row({"task": "f/t", "passed": True, "tokens": 120}))
    for group in aggregate(cells, by=("tui", "model")):
        print(group.key, group.pass_rate, group.tokens_per_correct)

Unknown is None, never 0; bad input raises a `ScoringError`. `dir(cab.scoring)` has all
names, `help(cab.scoring.Observation)` shows one with the texts of its fields.
"""

import typing

from cab.scoring.introspection import lazy

if typing.TYPE_CHECKING:
    from cab.scoring import capture as capture
    from cab.scoring import exports as exports
    from cab.scoring import imports as imports
    from cab.scoring import stats as stats

    # Each name is there, and only there.
    from cab.scoring.analysis import *  # noqa: F403 # pyright: ignore[reportWildcardImportFromLibrary]
    from cab.scoring.cells.metered_command import MeteredCommand as MeteredCommand
    from cab.scoring.cells.result_record import verify_bundle as verify_bundle
    from cab.scoring.public import *  # noqa: F403 # pyright: ignore[reportWildcardImportFromLibrary]
else:
    # Names load on first use. Statistics over sets of cells load apart: scoring one cell does not wait for
    # them. So do the packages for files of other tools, and for statistics on plain numbers, and the
    # check of signed bundles, and what `cab meter` writes.
    __getattr__, __dir__ = lazy.exports(
        __name__,
        ("public", "analysis"),
        ("capture", "exports", "imports", "stats"),
        {"MeteredCommand": "cells.metered_command", "verify_bundle": "cells.result_record"},
    )

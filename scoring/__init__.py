"""Scores of coding agents from what was measured: records in, scores out.

No sockets, no clocks, no event loop; pydantic and orjson are all it needs. A ledger, the part of it
that belongs to one agent, and what its calls cost:

    from pathlib import Path
    from cab.scoring import iter_records, score_tokens, sum_calls

    records = iter_records(Path("cab-ledger"), cell="local/aider/m/f/t#run1")
    tokens = score_tokens(sum_calls(records), passed=1)
    print(tokens.model_calls, tokens.total_tokens, tokens.by_source)

Whole cells, from their bundles or from published pages:

    from cab.scoring import score_path

    for cell in score_path(Path("runs"), "measured/1"):
        print(cell["cell_id"], cell["composite"], cell["tokens"]["total_tokens"])

Sets of cells, with an uncertainty on every estimate:

    from cab.scoring import aggregate, observe

    cells = [observe(cell) for cell in score_path(Path("runs"))]
    for group in aggregate(cells, by=("tui", "model")):
        print(group.key, group.pass_rate, group.tokens_per_correct)

Unknown is None, never 0, and bad input raises a `ScoringError` that names file, line and field.
"""

import typing

from cab.scoring import lazy

if typing.TYPE_CHECKING:
    from cab.scoring import exports as exports
    from cab.scoring import imports as imports
    from cab.scoring import stats as stats

    # Each name is there, and only there.
    from cab.scoring.analysis import *  # noqa: F403 # pyright: ignore[reportWildcardImportFromLibrary]
    from cab.scoring.cells.result_record import verify_bundle as verify_bundle
    from cab.scoring.public import *  # noqa: F403 # pyright: ignore[reportWildcardImportFromLibrary]
else:
    # Names load on first use. Statistics over sets of cells load apart: scoring one cell does not wait for
    # them. So do the packages for files of other tools, and for statistics on plain numbers, and the
    # check of signed bundles.
    __getattr__, __dir__ = lazy.exports(
        __name__,
        ("public", "analysis"),
        ("exports", "imports", "stats"),
        {"verify_bundle": "cells.result_record"},
    )

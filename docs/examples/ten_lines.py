"""Read a ledger, print scores.

python ten_lines.py LEDGER CELL...      CELL is the id of a cell; prefix= takes the beginning of ids
"""

import sys
from pathlib import Path

from cab.scoring import iter_records, score_calls, score_cost, score_tokens, sum_calls

ledger, *cells = sys.argv[1:]
for cell in cells:
    calls = sum_calls(iter_records(Path(ledger), cell))  # None: no record is about this cell
    tokens, cost = score_tokens(calls, passed=None), score_cost(calls, passed=None)
    print(cell, tokens.model_calls, "calls", tokens.total_tokens, "tokens", cost.cost_usd, "USD")
    print(tokens.by_source, score_calls(calls).by_end_reason)

"""`cab score --reprice`: what cells would have cost by other prices, beside what they did cost."""

import argparse
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option, OptionGroup
from cab.adapters.ui.format import UNKNOWN_USD
from cab.scoring import ScoredCell
from cab.scoring.analysis.observation import Observation
from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.ledger.money import dollars
from cab.scoring.ledger.reading import find_records
from cab.scoring.prices.library import DISTRIBUTION, library_prices
from cab.scoring.prices.reprice import Repriced, Repricing
from cab.scoring.prices.sources import price_kind, source_words, sources_words
from cab.scoring.prices.table import read_price_table
from cab.scoring.printable import counted

OPTIONS = OptionGroup(
    "other prices",
    Option(
        "--reprice",
        metavar="TABLE",
        help="say what the calls would have cost: by a file of prices, or genai-prices",
    ),
    Option(
        "--provider",
        metavar="NAME",
        help="with --reprice genai-prices: who sold the tokens; if unset, as the records say",
    ),
    description="what is stored does not change; docs/prices.md describes the file",
)


def repricing_of(args: argparse.Namespace) -> Repricing | None:
    """Return the other prices that the arguments ask for; None if they ask for none.

    Raises:
        AdapterError: Options contradict one another, or nobody has such a provider.
        BadRecord: The file of prices cannot be used.
    """
    if args.reprice is None:
        if args.provider is not None:
            raise AdapterError("--provider is for --reprice genai-prices; add that")
        return None
    if args.write or args.form == "explain":
        raise AdapterError("--reprice does not go with --write or --explain; leave one out")
    if args.reprice != DISTRIBUTION:
        return Repricing(read_price_table(Path(args.reprice)), args.provider)
    library = library_prices()
    if args.provider is not None and not library.has_provider(args.provider):
        raise AdapterError(f"{library.source} has no provider {args.provider!r}")
    return Repricing(library, args.provider)


def repriced(scored: ScoredCell, repricing: Repricing) -> Repriced | None:
    """Return what a cell would have cost; None without its calls: a page, or nobody metered it.

    Raises:
        BadRecord: They cannot be read.
    """
    calls = scored.path / CALLS_FILE
    if scored.cell is None or not calls.exists():
        return None
    records = (found.fields for found in find_records(calls))
    return repricing.cell(records, scored.axes.pass_rate.passed)


def observed(scored: ScoredCell, repricing: Repricing, observation: Observation) -> Observation:
    """Return what is observed of a cell with other prices; of one without calls they are not known.

    Raises:
        BadRecord: Its calls cannot be read.
    """
    made = repriced(scored, repricing)
    cost = None if made is None or made.cost_usd is None else Decimal(made.cost_usd)
    kind = "unknown" if cost is None else price_kind(repricing.prices.source)
    return replace(observation, cost_usd=cost, price_kind=kind)


def columns(scored: ScoredCell, repricing: Repricing | None) -> dict[str, Any]:
    """Return what a line of a table of cells has besides; nothing if no other prices are asked for."""
    if repricing is None:
        return {}
    made = repriced(scored, repricing)
    cost = None if made is None else made.cost_usd
    return {"repriced_usd": cost, "repriced_by": repricing.prices.source}


def members(scored: ScoredCell, repricing: Repricing | None) -> dict[str, Any]:
    """Return what a cell's result as JSON has besides; nothing if no other prices are asked for."""
    if repricing is None:
        return {}
    made = repriced(scored, repricing)
    return {"repriced": None if made is None else made.model_dump(mode="json")}


def sentence(scored: ScoredCell, repricing: Repricing) -> str:
    """Return for people what a cell did cost, and would have."""
    made, cost = repriced(scored, repricing), scored.axes.cost
    by = sources_words((cost and cost.price_sources) or [])
    did = (
        UNKNOWN_USD
        if cost is None or cost.cost_usd is None
        else f"{dollars(cost.cost_usd)} by {by}"
    )
    other = source_words(repricing.prices.source)
    if made is None:
        return f"cost: {did}; by {other}: not known, as there are no calls"
    gap = (
        f" ({counted(made.unpriced_calls, 'call')} without a price)" if made.unpriced_calls else ""
    )
    would = UNKNOWN_USD if made.cost_usd is None else dollars(made.cost_usd)
    return f"cost: {did}; by {other} it would be {would}{gap}"

"""The pages of comparisons: a list of all pairs, and a page for each."""

from collections.abc import Iterator, Sequence

from cab.adapters.report.comparison.pairs import MOST_PAIRS, pair_rows
from cab.adapters.report.comparison.rows import ComparisonRow, comparison_row, extent
from cab.adapters.report.comparison.sides import Pairing, PairKind, pair_kinds
from cab.adapters.report.entries import SiteEntry
from cab.adapters.report.placed import placed_cells
from cab.adapters.report.render.environment import render
from cab.adapters.report.render.frame import PageFrame
from cab.scoring.analysis.aggregate import Part
from cab.scoring.analysis.compare import METRICS, Comparison, compare, compare_all
from cab.scoring.analysis.sentences import sentence

LIST_TEMPLATE = "comparisons.html.j2"
PAIR_TEMPLATE = "comparison.html.j2"
LIST_FILE = "compare.html"

_PART_WORDS: dict[Part, str] = {
    "task": "task", "tui": "agent", "model": "model", "sweep": "sweep", "family": "family",
}  # fmt: skip


def comparison_pages(entries: Sequence[SiteEntry]) -> Iterator[tuple[str, str]]:
    """Yield file and text of each page, the list of all pairs first."""
    kinds = list(pair_kinds(placed_cells(entries)))
    yield (
        LIST_FILE,
        render(
            LIST_TEMPLATE,
            frame=PageFrame(root=""),
            page_file=LIST_FILE,
            title="Comparisons",
            tables=[(kind, _rows(kind)) for kind in kinds],
        ),
    )
    for kind in kinds:
        for pairing in kind.pairings:
            yield pairing.file, _pair_page(pairing)


def _rows(kind: PairKind) -> list[tuple[Pairing, Comparison, ComparisonRow]]:
    found = compare_all([side.seen for side in kind.sides])
    scale = max(map(extent, found), default=0.0)
    both = zip(kind.pairings, found, strict=True)
    return [(pairing, each, comparison_row(each, scale)) for pairing, each in both]


def _pair_page(pairing: Pairing) -> str:
    found = compare(pairing.a.seen, pairing.b.seen, METRICS)
    pairs = pair_rows(pairing, found[0].paired_by)
    return render(
        PAIR_TEMPLATE,
        frame=PageFrame(root="../"),
        page_file=LIST_FILE,
        title=f"{pairing.a.name} against {pairing.b.name}",
        a=pairing.a.name,
        b=pairing.b.name,
        first=found[0],
        paired_by=[_PART_WORDS[part] for part in found[0].paired_by],
        sentence=sentence(found[0]),
        rows=[comparison_row(each) for each in found],
        flips=[pair for pair in pairs if pair.better][:MOST_PAIRS],
        pairs=pairs[:MOST_PAIRS],
        left_out=max(0, len(pairs) - MOST_PAIRS),
    )

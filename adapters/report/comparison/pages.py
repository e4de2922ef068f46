"""The pages of comparisons: a list of all pairs, and a page for each."""

from collections.abc import Iterable, Iterator, Sequence

from cab.adapters.report.comparison.kept import KeptComparison, pair_digest
from cab.adapters.report.comparison.pairs import MOST_PAIRS, pair_rows
from cab.adapters.report.comparison.rows import ComparisonRow, comparison_row, extent
from cab.adapters.report.comparison.sides import Pairing, PairKind, pair_kinds
from cab.adapters.report.placed import PlacedCell
from cab.adapters.report.render.environment import render
from cab.adapters.report.render.frame import PageFrame
from cab.scoring.analysis.aggregate import Part
from cab.scoring.analysis.compare import METRICS, Comparison, adjusted, compare
from cab.scoring.analysis.sentences import sentence

LIST_TEMPLATE = "comparisons.html.j2"
PAIR_TEMPLATE = "comparison.html.j2"
LIST_FILE = "compare.html"

_PART_WORDS: dict[Part, str] = {
    "task": "task", "tui": "agent", "model": "model", "sweep": "sweep", "family": "family",
}  # fmt: skip


class ComparisonPages:
    """The pages of a site's comparisons.

    Args:
        cells: All cells of the site that have a place.
        made_by: What makes pages: see `state.maker_digest`.
        before: Comparisons of an earlier run whose pages are there.
    """

    def __init__(
        self, cells: Sequence[PlacedCell], made_by: str, before: Iterable[KeptComparison] = ()
    ) -> None:
        self._kinds = list(pair_kinds(cells))
        self._made_by = made_by
        self._before = {each.digest: each for each in before}
        self.kept: list[KeptComparison] = []
        """What the next run can take; complete when all pages are made."""

    def pages(self) -> Iterator[tuple[str, str | None]]:
        """Yield file and text of each page, the list of all pairs last; None of a page that stands."""
        tables: list[tuple[PairKind, list[_Row]]] = []
        for kind in self._kinds:
            found: list[Comparison] = []
            for pairing in kind.pairings:
                text, pass_rate = self._pair(pairing)
                found.append(pass_rate)
                yield pairing.file, text
            tables.append((kind, _rows(kind, adjusted(found))))
        values = {"page_file": LIST_FILE, "title": "Comparisons", "tables": tables}
        yield LIST_FILE, render(LIST_TEMPLATE, frame=PageFrame(root=""), **values)

    def _pair(self, pairing: Pairing) -> tuple[str | None, Comparison]:
        digest = pair_digest(pairing, self._made_by)
        kept, text = self._before.get(digest), None
        if kept is None:
            found = compare(pairing.a.seen, pairing.b.seen, METRICS)
            kept = KeptComparison(pairing.file, digest, found[METRICS.index("pass_rate")])
            text = _pair_page(pairing, found)
        self.kept.append(kept)
        return text, kept.pass_rate


_Row = tuple[Pairing, Comparison, ComparisonRow]


def _rows(kind: PairKind, found: Sequence[Comparison]) -> list[_Row]:
    scale = max(map(extent, found), default=0.0)
    both = zip(kind.pairings, found, strict=True)
    return [(pairing, each, comparison_row(each, scale)) for pairing, each in both]


def _pair_page(pairing: Pairing, found: Sequence[Comparison]) -> str:
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

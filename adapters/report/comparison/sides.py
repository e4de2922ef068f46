"""What a site compares: each pair of its agents, of its models, and of its sweeps."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from cab.adapters.report.names import page_stem
from cab.adapters.report.placed import PlacedCell
from cab.scoring.analysis.aggregate import Part, part_of
from cab.scoring.analysis.observation import Observation

MOST_SIDES = 6
"""Of one kind: fifteen pairs. `cab compare` has no such limit."""

_KINDS: tuple[tuple[Part, str], ...] = (("tui", "agents"), ("model", "models"), ("sweep", "sweeps"))


class Side(NamedTuple):
    """An agent, a model or a sweep with its cells."""

    name: str
    cells: Sequence[PlacedCell]

    @property
    def seen(self) -> tuple[str, list[Observation]]:
        """Name and cells as `cab.scoring` compares them."""
        return self.name, [cell.seen for cell in self.cells]


class Pairing(NamedTuple):
    """Two sides."""

    part: Part
    a: Side
    b: Side

    @property
    def file(self) -> str:
        """Its page, from the site's folder."""
        return f"compare/{page_stem(f'compare/{self.part}-{self.a.name}-{self.b.name}')}.html"


class PairKind(NamedTuple):
    """All pairs of one kind."""

    noun: str
    pairings: Sequence[Pairing]
    left_out: int
    """Sides with fewer cells than those that are compared."""

    @property
    def part(self) -> Part:
        """What they are, as `cab compare --by` names it."""
        return self.pairings[0].part

    @property
    def sides(self) -> list[Side]:
        """All sides, in the order of their names."""
        found = {side.name: side for pairing in self.pairings for side in (pairing.a, pairing.b)}
        return list(found.values())


def pair_kinds(cells: Sequence[PlacedCell]) -> Iterator[PairKind]:
    """Yield each kind of which the cells have two or more."""
    for part, noun in _KINDS:
        found: defaultdict[str, list[PlacedCell]] = defaultdict(list)
        for cell in cells:
            found[part_of(cell.seen.cell, part)].append(cell)
        largest = sorted(found, key=lambda name: (-len(found[name]), name))[:MOST_SIDES]
        kept = [Side(name, found[name]) for name in sorted(largest)]
        pairs = [Pairing(part, a, b) for a, b in combinations(kept, 2)]
        if pairs:
            yield PairKind(noun, pairs, len(found) - len(kept))

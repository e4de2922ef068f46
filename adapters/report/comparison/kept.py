"""Comparisons of an earlier run: what was computed from the same cells is not computed again."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from cab.adapters.report.comparison.sides import Pairing
from cab.scoring.analysis.compare import Comparison


@dataclass(frozen=True, slots=True)
class KeptComparison:
    """A pair whose page was made."""

    file: str
    """Its page, from the site's folder."""
    digest: str
    """Of all that its page is made from; see `pair_digest`."""
    pass_rate: Comparison
    """What the list of pairs shows of it."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, data: dict[str, Any]) -> "KeptComparison":
        """Return what `as_dict` returned.

        Raises:
            TypeError, KeyError: It is something else.
        """
        found: dict[str, Any] = data["pass_rate"]
        found["paired_by"] = tuple(found["paired_by"])
        return cls(data["file"], data["digest"], Comparison(**found))


def pair_digest(pairing: Pairing, made_by: str) -> str:
    """Return the digest of all that the page of a pair is made from.

    Args:
        pairing: The pair.
        made_by: What makes pages: see `state.maker_digest`.
    """
    digest = sha256(f"{made_by}\0{pairing.part}".encode())
    for side in (pairing.a, pairing.b):
        digest.update(f"\0{side.name}\0{len(side.cells)}\0".encode())
        digest.update(b"".join(cell.digest for cell in side.cells))
    return digest.hexdigest()

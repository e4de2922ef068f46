"""Numbers that show who counted them.

6,647●      measured: by the endpoint, or by our own clock, check or file trees
≈6,647      estimated: by our tokenizer, or a table of prices
“2,444”     self-reported by the agent, or by another harness
≥6,647      at least: a part was not counted
not recorded
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from cab.scoring.prices.sources import PriceKind

Mark = Literal["measured", "estimated", "self-reported", "at least", "not recorded"]

_CLASSES: dict[Mark, str] = {
    "measured": "m",
    "estimated": "e",
    "self-reported": "s",
    "at least": "l",
    "not recorded": "n",
}
_WEAKEST: tuple[Mark, ...] = ("not recorded", "at least", "self-reported", "estimated", "measured")
_OF_SOURCE: dict[str, Mark] = {
    "upstream": "measured",
    "tokenizer": "estimated",
    "mixed": "estimated",
    "tui_stdout": "self-reported",
    "self_reported": "self-reported",
}


def mark_class(mark: Mark) -> str:
    """Return the class of a mark in the stylesheet."""
    return _CLASSES[mark]


def mark_of(source: str | None) -> Mark:
    """Return the mark of a source of tokens, as records and cells name it."""
    return _OF_SOURCE.get(source, "not recorded") if source else "not recorded"


def mark_of_price(kind: PriceKind | None) -> Mark:
    """Return the mark of a sum of prices: measured only if the endpoint stated them all."""
    return "measured" if kind in (None, "endpoint") else "estimated"


def weakest(marks: Iterable[Mark]) -> Mark:
    """Return the mark of a sum of parts with these marks; a sum of nothing is measured."""
    found = list(marks)
    return min(found, key=_WEAKEST.index) if found else "measured"


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A number as text, or the words that stand in its place."""

    text: str | None
    """None where nothing is known."""
    mark: Mark = "measured"
    """Who counted."""
    by: str = ""
    """Who exactly, for a tooltip."""
    missing: str = "not recorded"
    """What stands there if there is no number: words, never 0."""

    def __html__(self) -> Markup:
        """Return the markup; the mark is read out too."""
        if self.text is None:
            return Markup('<span class="v n">{}</span>').format(self.missing)
        title = f"{self.mark}: {self.by}" if self.by else self.mark
        markup = Markup('<span class="v {}" title="{}">{}<span class="vh"> {}</span></span>')
        return markup.format(_CLASSES[self.mark], title, self.text, self.mark)


def measured(text: str | None, by: str = "", missing: str = "not recorded") -> MarkedText:
    """Return a measured number."""
    return MarkedText(text, "measured", by, missing)


def words(text: str) -> MarkedText:
    """Return words that stand in a number's place."""
    return MarkedText(None, missing=text)

"""The label `model`: a name that the operator has given, and never one that a client made up."""

import fnmatch
import re
from collections.abc import Iterable

from cab.proxy.config import ProxySettings

OTHER = "other"
MOST_MODELS = 100
"""So many values the label has at most, besides `other`."""
_REMEMBERED = 1024


def known_models(settings: ProxySettings) -> list[str]:
    """Return the names and patterns of models that the settings name."""
    routed = [name for route in settings.routes for name in route.models]
    return [*settings.metrics_models, *routed, *settings.prices.models]


class ModelLabels:
    """Gives each model its label: itself where the operator named it, or the pattern that fits it.

    Args:
        names: Names and patterns of models, such as `gpt-5` and `gpt-*`; the first ones count.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: list[str] = []
        self._last: object = None
        """What was learned last: the calls of a key come one after the other."""
        self._known: dict[str, str] = {}
        """Labels of models that came lately."""
        self._table: tuple[re.Pattern[str], list[str]] | None = None
        """What fits any name, each in a group of its own, and the names in the order of the groups."""
        self.learn(names)

    def learn(self, names: Iterable[str]) -> None:
        """Take further names and patterns, while there is room; another thread may ask for labels."""
        if names is self._last or len(self._names) >= MOST_MODELS:
            return
        self._last = names
        new = [name for name in names if name.strip("*") and name not in self._names]
        if not new:
            return
        self._names = [*self._names, *new][:MOST_MODELS]
        # Names first: who names a model wants to see it, whatever pattern fits it too.
        in_order = sorted(self._names, key=_is_pattern)
        groups = "|".join(f"({fnmatch.translate(name)})" for name in in_order)
        self._table = re.compile(groups), in_order
        self._known = {}  # a new one: what is looked up meanwhile goes into the old one

    def of(self, model: str | None) -> str:
        """Return the label of a model."""
        if model is None:
            return OTHER
        known = self._known
        label = known.get(model)
        if label is None:
            label = self._found(model)
            if len(known) >= _REMEMBERED:
                known.clear()
            known[model] = label
        return label

    def _found(self, model: str) -> str:
        if self._table is None:
            return OTHER
        pattern, names = self._table
        found = pattern.fullmatch(model)
        return names[(found.lastindex or 1) - 1] if found else OTHER


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")

"""Samples: values by metric and labels, as they are added up over processes and sent between them."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from cab.proxy.control.metrics.table import METRICS
from cab.scoring.ledger.money import EXACT

Key = tuple[str, tuple[str, ...]]
"""A metric's name, and the values of its labels."""


@dataclass(slots=True)
class Histogram:
    """How many values lie in which bucket; sums are whole microseconds, so their order does not matter."""

    bounds_us: tuple[int, ...]
    """Upper bounds of the buckets but for the last one, which has none."""
    counts: list[int] = field(default_factory=list[int])
    sum_us: int = 0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds_us) + 1)

    @classmethod
    def of(cls, name: str) -> "Histogram":
        """Return an empty one with the buckets of a metric."""
        return cls(tuple(round(bound * 1_000_000) for bound in METRICS[name].bounds_s))

    def add_us(self, value_us: int) -> None:
        """Add a time."""
        self.counts[bisect_left(self.bounds_us, value_us)] += 1
        self.sum_us += value_us

    def add_ms(self, value_ms: float | None) -> None:
        """Add a time of a record; one that is not known is no value."""
        if value_ms is not None:
            self.add_us(round(value_ms * 1000))

    def __add__(self, other: "Histogram") -> "Histogram":
        counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        return Histogram(self.bounds_us, counts, self.sum_us + other.sum_us)

    def copy(self) -> "Histogram":
        """Return what it holds now."""
        return Histogram(self.bounds_us, list(self.counts), self.sum_us)


Value = int | float | Decimal | Histogram
Samples = dict[Key, Value]


def added(parts: Iterable[Samples]) -> Samples:
    """Return the sums of samples with the same labels."""
    sums: Samples = {}
    for part in parts:
        for key, value in part.items():
            known = sums.get(key)
            sums[key] = value if known is None else _sum(known, value)
    return sums


def _sum(left: Value, right: Value) -> Value:
    if isinstance(left, Histogram) and isinstance(right, Histogram):
        return left + right
    assert not isinstance(left, Histogram)
    assert not isinstance(right, Histogram)
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return EXACT.add(Decimal(left), Decimal(right))
    return left + right


def lasting(samples: Mapping[Key, Value]) -> Samples:
    """Return what a process that has ended leaves behind: counters and histograms, no gauges."""
    return {key: value for key, value in samples.items() if METRICS[key[0]].kind != "gauge"}


def packed(samples: Mapping[Key, Value]) -> list[Any]:
    """Return samples as JSON values."""
    return [[name, labels, _packed(value)] for (name, labels), value in samples.items()]


def _packed(value: Value) -> object:
    if isinstance(value, Histogram):
        return [value.counts, value.sum_us]
    return str(value) if isinstance(value, Decimal) else value


def unpacked(values: Iterable[Any]) -> Samples:
    """Return what `packed` packed."""
    return {(name, tuple(labels)): _unpacked(name, value) for name, labels, value in values}


def _unpacked(name: str, value: Any) -> Value:  # noqa: ANN401 - as `_packed` gives it
    if isinstance(value, list):
        counts, sum_us = cast("tuple[list[int], int]", value)
        return Histogram(Histogram.of(name).bounds_us, counts, sum_us)
    return Decimal(value) if isinstance(value, str) else value

"""Samples in the text formats that Prometheus reads, written by its own library."""

from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cab.proxy.control.metrics.samples import Histogram, Samples
from cab.proxy.control.metrics.table import METRICS


class Exposition(NamedTuple):
    """What a scraper is answered."""

    content_type: str
    body: bytes


def exposition(samples: Samples, accept: str) -> Exposition:
    """Return samples in the format that a scraper asks for.

    Args:
        samples: Of all processes.
        accept: Its header `Accept`.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(samples))
    return Exposition(content_type, encode(registry))


class _Families(Collector):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def describe(self) -> list[Metric]:
        """Name nothing in advance: there is no other collector beside this one."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with all its samples."""
        by_name: dict[str, Samples] = {name: {} for name in METRICS}
        for key, value in self._samples.items():
            by_name[key[0]][key] = value
        for name, samples in by_name.items():
            yield _family(name, samples)


def _family(name: str, samples: Samples) -> Metric:
    metric = METRICS[name]
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, metric.text, labels=metric.labels)
        for (_, labels), value in sorted(samples.items()):
            assert isinstance(value, Histogram)
            histogram.add_metric(labels, list(_buckets(value)), value.sum_us / 1_000_000)
        return histogram
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(name, metric.text, labels=metric.labels)
    for (_, labels), value in sorted(samples.items(), key=lambda item: item[0]):
        assert not isinstance(value, Histogram)
        family.add_metric(labels, float(value))
    return family


def _buckets(histogram: Histogram) -> Iterator[tuple[str, float]]:
    so_far = 0
    bounds = (*(str(bound / 1_000_000) for bound in histogram.bounds_us), "+Inf")
    for bound, count in zip(bounds, histogram.counts, strict=True):
        so_far += count
        yield bound, so_far

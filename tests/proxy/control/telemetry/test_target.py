"""Where spans and metrics go, by settings and by the variables that any program has."""

from typing import Any

import pytest

from cab.proxy.config import ProxySettings
from cab.proxy.control.telemetry.opening import variables_of, wanted_target
from cab.proxy.control.telemetry.target import OtlpTarget
from cab.proxy.errors import BadConfig

URL = "http://collector:4318"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def target(variables: dict[str, str], **settings: Any) -> OtlpTarget | None:
    made = ProxySettings(upstream="demo", **settings)
    return wanted_target(made, variables_of({**variables, "PATH": "x"}))


def urls(variables: dict[str, str], **settings: Any) -> tuple[str | None, str | None]:
    found = target(variables, **settings)
    signals = (None, None) if found is None else (found.traces, found.metrics)
    return signals[0] and signals[0].url, signals[1] and signals[1].url  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("variables", "settings", "expected"),
    [
        ({}, {}, (None, None)),
        ({"OTEL_SERVICE_NAME": "x"}, {}, (None, None)),
        ({ENDPOINT: f"{URL}/"}, {}, (f"{URL}/v1/traces", f"{URL}/v1/metrics")),
        ({ENDPOINT: ""}, {}, (None, None)),
        (
            {ENDPOINT: URL},
            {"otel_endpoint": "http://a/b"},
            ("http://a/b/v1/traces", "http://a/b/v1/metrics"),
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{URL}/x"}, {}, (f"{URL}/x", None)),
        ({ENDPOINT: URL, "OTEL_METRICS_EXPORTER": "none"}, {}, (f"{URL}/v1/traces", None)),
        ({ENDPOINT: URL, "OTEL_SDK_DISABLED": "True"}, {}, (None, None)),
    ],
)
def test_where_each_signal_goes(
    variables: dict[str, str], settings: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    """A setting wins over variables; the variable of a signal is its whole URL."""
    assert urls(variables, **settings) == expected


def test_the_variables_of_a_signal_win() -> None:
    """Headers, protocol, time limit and compression can differ by signal; keys among them are secrets."""
    found = target(
        {
            ENDPOINT: URL,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abcdefgh, X-Scope-OrgID=1",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x=y",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1500",
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
        }
    )
    assert found is not None
    assert found.traces is not None
    assert found.metrics is not None
    assert found.traces.headers == {"authorization": "Bearer abcdefgh", "X-Scope-OrgID": "1"}
    assert (found.traces.protocol, found.metrics.protocol) == ("http/json", "http/protobuf")
    assert (found.traces.timeout_s, found.traces.gzip, found.metrics.gzip) == (1.5, True, False)
    assert found.metrics.headers == {"x": "y"}
    assert (found.queue_spans, found.batch_spans, found.delay_s) == (100, 100, 0.25)
    assert set(found.secrets()) == {"Bearer abcdefgh", "abcdefgh"}
    assert "abcdefgh" not in repr(found)


@pytest.mark.parametrize(
    ("variables", "settings", "message"),
    [
        ({ENDPOINT: "collector:4318"}, {}, f"{ENDPOINT} is not a URL of HTTP"),
        ({}, {"otel_endpoint": "ftp://a"}, "otel_endpoint is not a URL of HTTP"),
        (
            {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            {},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken here; use http/protobuf or http/json",
        ),
        (
            {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_HEADERS": "a\nb=c"},
            {},
            "OTEL_EXPORTER_OTLP_HEADERS: 'a\\nb' is not a valid name of a header",
        ),
        (
            {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Content-Length=5"},
            {},
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS: Content-Length is set by cab-proxy itself",
        ),
        (
            {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"},
            {},
            "OTEL_EXPORTER_OTLP_COMPRESSION: 'zstd' is not spoken here; use gzip or none",
        ),
        (
            {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_TIMEOUT": "0"},
            {},
            "OTEL_EXPORTER_OTLP_TIMEOUT is not",
        ),
        ({ENDPOINT: URL, "OTEL_BSP_SCHEDULE_DELAY": "-1"}, {}, "OTEL_BSP_SCHEDULE_DELAY is not"),
        (
            {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_HEADERS": "a key"},
            {},
            "OTEL_EXPORTER_OTLP_HEADERS is not",
        ),
        (
            {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_HEADERS": "a=%0A"},
            {},
            "OTEL_EXPORTER_OTLP_HEADERS is not",
        ),
    ],
)
def test_what_cannot_be_used_is_named(
    variables: dict[str, str], settings: dict[str, Any], message: str
) -> None:
    """An error names the variable or the setting, and no key."""
    with pytest.raises(BadConfig) as caught:
        target(variables, **settings)
    assert message in str(caught.value)
    assert "a key" not in str(caught.value)

"""Where spans and metrics go: the settings, and the variables that OpenTelemetry has for any program.

A setting wins over a variable, and the variable of a signal (`..._TRACES_...`) over that of both.
"""

import importlib.util
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.http.headers import header_fault, may_hold_secret
from cab.scoring.exports.otel import SERVICE

Signal = Literal["traces", "metrics"]
Protocol = Literal["http/protobuf", "http/json"]

_PREFIX = "OTEL_EXPORTER_OTLP_"
_DEFAULT_TIMEOUT_MS, _DEFAULT_DELAY_MS, _DEFAULT_INTERVAL_MS = 10_000, 5_000, 60_000
_DEFAULT_BATCH_SPANS, _DEFAULT_QUEUE_SPANS = 512, 8192
_MOST_BATCH_SPANS = 4096
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2."""
_OUR_HEADERS = frozenset(
    {
        *("connection", "content-encoding", "content-length", "content-type", "expect", "host"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""They say how the body is sent, so the program that sends it sets them."""


@dataclass(frozen=True, slots=True)
class SignalTarget:
    """Where requests of one signal go, and how."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    protocol: Protocol
    timeout_s: float
    gzip: bool
    ca_file: Path | None


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """Where spans and metrics go, and when."""

    traces: SignalTarget | None
    metrics: SignalTarget | None
    resource: Mapping[str, str]
    """Attributes of this process."""
    queue_spans: int
    batch_spans: int
    delay_s: float
    """Between two looks for new calls."""
    metrics_every_s: float

    def secrets(self) -> Iterator[str]:
        """Yield what no record and no log line may hold."""
        for signal in (self.traces, self.metrics):
            for name, value in () if signal is None else signal.headers.items():
                if may_hold_secret(name) and value:
                    yield value
                    yield value.split()[-1]


def otlp_target(settings: ProxySettings, variables: Mapping[str, str]) -> OtlpTarget | None:
    """Return where spans and metrics go; None if nobody wants them.

    Args:
        settings: The proxy's.
        variables: Those of OpenTelemetry, of any program.

    Raises:
        BadConfig: A value cannot be used; it is named.
    """
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    traces = _signal(settings, variables, "traces")
    metrics = _signal(settings, variables, "metrics")
    if traces is None and metrics is None:
        return None
    batch = _number(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _DEFAULT_BATCH_SPANS)
    queue = settings.otel_queue_spans or _number(
        variables, "OTEL_BSP_MAX_QUEUE_SIZE", _DEFAULT_QUEUE_SPANS
    )
    every_ms = _number(variables, "OTEL_METRIC_EXPORT_INTERVAL", _DEFAULT_INTERVAL_MS)
    return OtlpTarget(
        traces,
        metrics,
        _resource(variables),
        queue,
        min(batch, queue, _MOST_BATCH_SPANS),
        _number(variables, "OTEL_BSP_SCHEDULE_DELAY", _DEFAULT_DELAY_MS) / 1000,
        every_ms / 1000,
    )


def _signal(
    settings: ProxySettings, variables: Mapping[str, str], signal: Signal
) -> SignalTarget | None:
    def of(name: str) -> tuple[str, str]:
        own, both = f"{_PREFIX}{signal.upper()}_{name}", f"{_PREFIX}{name}"
        return (own, variables[own]) if own in variables else (both, variables.get(both, ""))

    if variables.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") != "otlp":
        return None
    place, endpoint = of("ENDPOINT")
    is_whole = place != f"{_PREFIX}ENDPOINT"  # the variable of a signal has the path too
    if settings.otel_endpoint is not None:
        place, endpoint, is_whole = "otel_endpoint", settings.otel_endpoint, False
    if not endpoint:
        return None
    _check_url(place, endpoint)
    timeout_place, timeout = of("TIMEOUT")
    certificate = of("CERTIFICATE")[1]
    return SignalTarget(
        endpoint if is_whole else f"{endpoint.rstrip('/')}/v1/{signal}",
        _headers(*of("HEADERS")),
        _protocol(settings, *of("PROTOCOL")),
        _number({timeout_place: timeout}, timeout_place, _DEFAULT_TIMEOUT_MS) / 1000,
        _compresses(*of("COMPRESSION")),
        Path(certificate) if certificate else None,
    )


def _protocol(settings: ProxySettings, place: str, named: str) -> Protocol:
    if settings.otel_protocol is not None:
        place, named = "otel_protocol", settings.otel_protocol
    is_installed = importlib.util.find_spec("opentelemetry.proto") is not None
    match named:
        case "" if not is_installed:
            return "http/json"
        case "http/protobuf" if not is_installed:
            raise BadConfig(
                f"{place}: http/protobuf needs the package opentelemetry-proto; install the extra "
                "'otel', or use http/json"
            )
        case "" | "http/protobuf":
            return "http/protobuf"
        case "http/json":
            return "http/json"
        case _:
            raise BadConfig(
                f"{place}: {named!r} is not spoken here; use http/protobuf or http/json"
            )


def _check_url(place: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise BadConfig(f"{place} is not a URL of HTTP; give one such as http://127.0.0.1:4318")


def _pairs(place: str, text: str) -> dict[str, str]:
    """Return the members of `name=value,name=value`, whose values are percent-encoded."""
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = part.partition("=")
        value = unquote(value.strip())
        if not (equals and name.strip()) or header_fault(value) is not None:
            raise BadConfig(f"{place} is not a list of name=value, separated by commas")
        found[name.strip()] = value
    return found


def _headers(place: str, text: str) -> dict[str, str]:
    """Return headers that can stand in a request; another one would end the export with its first request."""
    found = _pairs(place, text)
    for name in found:
        if _HEADER_NAME.fullmatch(name) is None:
            raise BadConfig(f"{place}: {name!r} is not a valid name of a header")
        if name.lower() in _OUR_HEADERS:
            raise BadConfig(f"{place}: {name} is set by cab-proxy itself; leave it out")
    return found


def _compresses(place: str, named: str) -> bool:
    if named not in ("", "none", "gzip"):
        raise BadConfig(f"{place}: {named!r} is not spoken here; use gzip or none")
    return named == "gzip"


def _resource(variables: Mapping[str, str]) -> dict[str, str]:
    given = _pairs("OTEL_RESOURCE_ATTRIBUTES", variables.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    made = {"service.name": SERVICE, "service.instance.id": str(uuid.uuid4()), **given}
    return {**made, "service.name": variables.get("OTEL_SERVICE_NAME") or made["service.name"]}


def _number(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise BadConfig(f"{name} is not a whole number above 0")
    return int(text)

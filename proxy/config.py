"""Settings of the proxy: one flat table, and their check.

The texts of the fields are the help of `cab-proxy` and the table of docs/settings.md.
`config.example.toml` shows every setting. Tests keep all of them in step.
"""

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from cab.proxy.errors import BadConfig, nearest, not_a_choice
from cab.proxy.redaction import Redactor
from cab.scoring.files import is_object
from cab.scoring.ledger.bounds import MAX_CELL_ID_CHARS
from cab.scoring.prices.table import ModelRates, PriceTableFile
from cab.scoring.validation import first_fault

Seconds = Annotated[float, Field(gt=0)]
REPLAY = "replay"
"""What `upstream` is where recorded calls take its place."""
_CALLED = ("/chat/completions", "/completions", "/embeddings", "/responses", "/messages", "/models")
"""Ends of paths that clients add to a base URL themselves, the longer ones first."""
STATE_INSIDE = "state"
"""Name of a state folder in the folder of a ledger that nobody replaces."""
Bytes = Annotated[int, Field(ge=1)]
PathPattern = Annotated[str, Field(pattern="^/")]


Wire = Literal["direct", "aiohttp"]
"""Who speaks HTTP for ordinary calls."""


class Route(BaseModel):
    """An endpoint for some models, and how requests to it differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Annotated[list[str], Field(min_length=1)] = Field(
        description="Patterns of model names, such as `gpt-*`. The first route with a match is used."
    )
    upstream: str = Field(description="Base URL of this endpoint, with or without a trailing /v1.")
    key_env: str = Field(
        default="CAB_KEY",
        description="Name of the environment variable that holds this endpoint's key.",
    )
    key_header: str | None = Field(
        default=None,
        description="Header that carries the key. If unset, it is the one that the client used.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict[str, str], description="Headers that are added to every request."
    )
    path: str | None = Field(
        default=None,
        description="Path that replaces `/v1`. `{model}` in it stands for the model's name.",
    )
    query: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="Query parameters that are added to every request.",
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the system's, in PEM form."
    )
    http_proxy: str | None = Field(default=None, description="HTTP proxy to use for this endpoint.")
    paths: list[PathPattern] = Field(
        default_factory=list[str],
        description="Paths that this endpoint's key may be used for, besides those of the setting `paths`.",
    )
    provider: str | None = Field(
        default=None,
        description="Whose prices hold, as for the setting `provider`. If unset, the URL decides.",
    )

    @field_validator("upstream")
    @classmethod
    def _upstream_is_a_url(cls, value: str) -> str:
        return _base_url(value)


class ProxySettings(BaseModel):
    """All settings of a proxy. Every one but `upstream` has a default; the environment is not read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upstream: str = Field(
        description="Base URL of the endpoint, with or without a trailing /v1. "
        "`demo` is the built-in model server."
    )
    upstream_key_env: str = Field(
        default="CAB_KEY",
        description="Name of the environment variable that holds the endpoint's key. "
        "If that variable is not set, the agents' own keys are passed on.",
    )
    routes: list[Route] = Field(
        default_factory=list[Route],
        description="Other endpoints for some models. All other models go to `upstream`.",
    )
    paths: list[PathPattern] = Field(
        default_factory=list[str],
        description="Patterns of more paths that the endpoint's key may be used for, such as `/v1/files/**`. "
        "`*` stands for a part, `**` for any parts, and a path for all below it.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificates to trust instead of the system's, in PEM form, for the endpoint and for "
        "all routes that name no file of their own.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=31415, description="Port to listen on. 0 takes a free one."
    )
    tls_cert_file: Path | None = Field(
        default=None,
        description="Certificate in PEM form, with those of its authorities behind it: clients then speak "
        "https, to the control API's own port too. It is read at the start and by a reload.",
    )
    tls_key_file: Path | None = Field(
        default=None,
        description="Private key of that certificate, in PEM form, without a password. If unset, "
        "`tls_cert_file` holds it.",
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Number of processes that share the port."
    )
    control_host: str | None = Field(
        default=None,
        description="Address of the control API, together with `control_port`. "
        "If unset, it is `host`.",
    )
    control_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="Separate port for the control API. The agents' port then answers "
        "`/cab/health` only. 0 takes a free one.",
    )
    control_socket: Path | None = Field(
        default=None,
        description="Socket in the file system for the control API. Only the same user can "
        "connect to it.",
    )
    seal_key_file: Path | None = Field(
        default=None, description="Ed25519 private key that signs the seals of cells, in PEM form."
    )
    metrics_token_file: Path | None = Field(
        default=None,
        description="File with the token that reads `/cab/metrics` and nothing else. CAB_METRICS_TOKEN wins "
        "over it.",
    )
    metrics_models: list[str] = Field(
        default_factory=list[str],
        description="Names and patterns of models that metrics tell apart, besides those of `routes` and of "
        "cell keys; all others are `other`.",
    )
    otel_endpoint: str | None = Field(
        default=None,
        description="Base URL of a receiver of OTLP over HTTP, such as `http://127.0.0.1:4318`: calls go there "
        "as spans and metrics of OpenTelemetry (docs/otel.md). If unset, the variables OTEL_EXPORTER_OTLP_* say.",
    )
    otel_protocol: Literal["http/protobuf", "http/json"] | None = Field(
        default=None,
        description="What that receiver is sent. If unset, OTEL_EXPORTER_OTLP_PROTOCOL says, and otherwise it is "
        "protobuf if the extra `otel` is installed.",
    )
    otel_queue_spans: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Spans that may wait while the receiver is away, about 4 KB each, in each worker; of more, "
        "the oldest are dropped and counted. If unset, OTEL_BSP_MAX_QUEUE_SIZE says, and otherwise it is 8192.",
    )
    ledger: Path = Field(
        default=Path("cab-ledger"),
        description="Folder of the audit log. It is created if it is missing.",
    )
    ship_to: str | None = Field(
        default=None,
        description="URL of a database that gets the ledger's lines as they are written, such as "
        "`postgresql://cab@db.example/cab` (docs/postgres.md), by a process beside the proxy. Its password comes from "
        "PGPASSWORD or a passfile, never from the URL.",
    )
    state: Path | None = Field(
        default=None,
        description="Folder of what must outlive a ledger: the signing key, the revocations, and what "
        "each cell has spent. If unset, it is `state` in the ledger's folder if there is one, and otherwise `cab-state` "
        "beside the ledger's folder.",
    )
    cell: Annotated[str, Field(max_length=MAX_CELL_ID_CHARS)] | None = Field(
        default=None, description="Cell that every call without a cell key belongs to."
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="File with the keys that sign cell keys. CAB_SIGNING_KEY wins over it. "
        "If both are unset, it is `signing.key` in the state folder.",
    )
    auth: Literal["open", "keys"] = Field(
        default="open", description="`keys` refuses a call without a valid cell key (401)."
    )
    allow_open: bool = Field(
        default=False, description="Listen beyond loopback although `auth` is not `keys`."
    )
    allowed_hosts: list[str] = Field(
        default_factory=list[str],
        description="More names of this proxy, without a port, such as `proxy`. With `auth` `open`, a call "
        "without a cell key must name a loopback address, `host.docker.internal`, `host`, or one of these.",
    )
    allowed_origins: list[str] = Field(
        default_factory=list[str],
        description="Web pages that may call without a cell key, such as `https://tool.example`.",
    )
    open_attribution: bool = Field(
        default=False,
        description="Accept the header X-Cab-Cell, or a cell id in the path, without a key.",
    )
    ack: Literal["end", "none"] = Field(
        default="end",
        description="`end` sends the end of an answer only after its record is on disk. "
        "`none` does not wait for the disk.",
    )
    wire: Wire = Field(
        default="direct",
        description="Who speaks HTTP for ordinary calls: `direct` is cab's own fast code, `aiohttp` the "
        "library that serves everything else in any case. Both do the same.",
    )
    start_sync: Literal["before_answer", "before_forward"] = Field(
        default="before_answer",
        description="The record of a call's start is written before the request is forwarded, so that a "
        "kill hides no call. `before_answer` has it on disk before the answer's first byte leaves: a "
        "power cut can hide a call, but none whose answer began to leave. `before_forward` has it on "
        "disk before the request is forwarded.",
    )
    on_disconnect: Literal["drain", "cancel"] = Field(
        default="drain",
        description="When the client disconnects: `drain` reads on for the exact usage, "
        "`cancel` stops the call.",
    )
    drain_max_s: Seconds = Field(default=120, description="Draining stops after this many seconds.")
    drain_max_bytes: Bytes = Field(
        default=64 << 20, description="Draining stops after this many bytes."
    )
    connect_timeout_s: Seconds = Field(
        default=30, description="Time limit for the connection to the endpoint, in seconds."
    )
    keepalive_timeout_s: Seconds = Field(
        default=4,
        description="How long an idle connection to the endpoint is kept for the next call, in seconds. "
        "Keep it below the endpoint's own time; many servers close after 5.",
    )
    headers_timeout_s: Seconds | None = Field(
        default=None,
        description="Time limit for the first byte of an answer, in seconds. Unset: no limit, as a "
        "long generation is legal.",
    )
    body_timeout_s: Seconds | None = Field(
        default=None,
        description="Time limit for silence inside an answer, in seconds. Unset: no limit.",
    )
    max_connections: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Connections of clients at most, for each process. For a new one, the one that has "
        "been idle longest is closed; if all are busy, the new one is refused (503). Unset: as many as "
        "the limit of open files (`ulimit -n`) allows.",
    )
    head_timeout_s: Seconds = Field(
        default=60,
        description="Time limit for the head of a request, in seconds, from the connection's "
        "beginning or the head's first byte.",
    )
    body_progress_timeout_s: Seconds = Field(
        default=60,
        description="Time limit for the next 1024 bytes of a request's body, or its end, in seconds "
        "(408). A WebSocket on which a message does not go on is closed.",
    )
    max_request_bytes: Bytes = Field(
        default=128 << 20, description="Request bodies that are larger are refused (413)."
    )
    body_budget_bytes: Bytes = Field(
        default=256 << 20,
        description="What the bodies of all requests in flight, and messages on WebSockets, may come to "
        "together, in each worker; those of one cell's key to half of it. Above it, bodies wait unread for "
        "`slot_wait_s`, and are then refused (503).",
    )
    count_max_bytes: Bytes = Field(
        default=8 << 20,
        description="Tokens of a call without reported usage are counted only if its text is not "
        "larger.",
    )
    count_max_s: Seconds = Field(
        default=10, description="Such a count stops after this many seconds, and is then unknown."
    )
    slot_wait_s: Seconds = Field(
        default=60,
        description="How many seconds a call waits for a free slot of its key (`max_concurrency`) "
        "before it is refused.",
    )
    on_unknown: Literal["charge", "exhaust", "ignore"] = Field(
        default="charge",
        description="What a call costs the limits of its key that may have cost something and was "
        "not counted: `charge` what it can have cost at most, or an assumed size where nothing bounds "
        "it, `exhaust` all that is left, `ignore` nothing. A key can say otherwise.",
    )
    assumed_output_cap: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Tokens of an answer at most where the request states no cap (`max_tokens`). It "
        "bounds the cost of a call that was not counted, and is not sent. Unset: no bound; limits "
        "are charged 32,000.",
    )
    on_ledger_failure: Literal["closed", "open"] = Field(
        default="closed",
        description="When the ledger cannot be written: `closed` refuses new calls, `open` "
        "forwards them without a record.",
    )
    segment_max_bytes: Bytes = Field(
        default=256 << 20, description="A ledger segment that is larger is closed and compressed."
    )
    segment_max_s: Seconds = Field(
        default=86_400,
        description="A ledger segment that is older, in seconds, is closed and compressed.",
    )
    min_free_bytes: Annotated[int, Field(ge=0)] = Field(
        default=64 << 20,
        description="New calls are refused while the ledger's disk has less free space.",
    )
    replay: Path | None = Field(
        default=None,
        description="Folder of a ledger, a bundle or a capture whose recorded answers are given to the same "
        "requests again (docs/replay.md). No endpoint is asked, and `upstream` may be left out.",
    )
    capture: Literal["off", "bodies"] = Field(
        default="off",
        description="`bodies` keeps what each call asked and was answered, without the secrets that the proxy "
        "knows, in the folder `capture` of the ledger (docs/capture.md). Prompts hold whatever agents read.",
    )
    capture_max_body_bytes: Annotated[int, Field(ge=1, le=256 << 20)] = Field(
        default=16 << 20,
        description="Of a larger body only its size is kept. Sixteen times as much memory is used at most.",
    )
    capture_max_bytes: Bytes = Field(
        default=10 << 30,
        description="How large the whole capture may be: above it, the cells written longest ago are removed. "
        "One cell may have a quarter of it.",
    )
    capture_max_age_s: Seconds = Field(
        default=30 * 86_400,
        description="A cell's capture is removed so many seconds after its last call; the default is 30 days.",
    )
    grace_s: Seconds = Field(
        default=30,
        description="How many seconds calls in flight may continue after SIGINT or SIGTERM, and clients may "
        "take the rest of their answers.",
    )
    encodings: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="Patterns of model names, and the encoding or `tokenizer.json` that counts "
        "their tokens where the endpoint reports none.",
    )
    prices: PriceTableFile = Field(
        default_factory=PriceTableFile,
        description="Table of what models cost, for calls of which the endpoint states no price; see docs/prices.md.",
    )
    prices_file: Path | None = Field(
        default=None, description="TOML file that holds such a table, in place of `prices`."
    )
    provider: str | None = Field(
        default=None,
        description="Who sells the tokens of `upstream`, by a name of the library genai-prices, such as "
        "`openai`: its prices hold for models that no table lists. `none`: nobody's. If unset, it is told by "
        "the URL.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="`auto` logs for people on a terminal and JSON in a pipe."
    )

    @field_validator("upstream")
    @classmethod
    def _upstream_is_a_url(cls, value: str) -> str:
        return value if value in {"demo", REPLAY} else _base_url(value)

    @property
    def state_folder(self) -> Path:
        """Where the access state lies."""
        return self.state or state_beside(self.ledger)

    @property
    def control_apart(self) -> bool:
        """Whether the control API has an address of its own."""
        return self.control_port is not None or self.control_socket is not None

    @model_validator(mode="before")
    @classmethod
    def _replay_needs_no_upstream(cls, values: object) -> object:
        if is_object(values) and values.get("replay") and not values.get("upstream"):
            return {**values, "upstream": REPLAY}
        return values

    @model_validator(mode="after")
    def _replay_alone(self) -> Self:
        if self.upstream == REPLAY and self.replay is None:
            raise _wrong("upstream", "give the recorded calls, with the setting replay")
        own = self.ledger.resolve(), (self.ledger / "capture").resolve()
        if self.replay is not None and self.replay.resolve() in own:
            raise _wrong("ledger", "this is what is replayed; name another folder for the records")
        if self.replay is not None and self.workers > 1:
            raise _wrong("workers", "a replay keeps the order of answers in one process; set 1")
        return self

    @model_validator(mode="after")
    def _control_port_with_its_host(self) -> Self:
        if self.control_host is not None and self.control_port is None:
            raise _wrong("control_host", "control_port is not set; set that too")
        return self

    @model_validator(mode="after")
    def _one_table_of_prices(self) -> Self:
        if self.prices.models and self.prices_file is not None:
            raise _wrong("prices_file", "prices is set too; keep one of the two")
        return self

    @model_validator(mode="after")
    def _tls_key_with_its_certificate(self) -> Self:
        if self.tls_key_file is not None and self.tls_cert_file is None:
            raise _wrong("tls_key_file", "tls_cert_file is not set; set that too")
        return self

    @model_validator(mode="after")
    def _guarded_beyond_loopback(self) -> Self:
        if self.auth == "keys" or self.allow_open or is_loopback(self.host):
            return self
        raise _wrong(
            "host",
            f"{self.host} can be reached from other machines, and auth is 'open'; set "
            "auth to 'keys', or allow_open to true if you mean it",
        )


SETTING_GROUPS = {
    "usual settings": (
        *("upstream", "host", "port", "workers", "ledger", "state", "cell", "auth"),
        "allow_open",
        *("ack", "start_sync", "wire", "on_disconnect", "log_level", "log_format"),
    ),
    "endpoints and keys": (
        *("routes", "upstream_key_env", "ca_file", "paths", "signing_key_file", "open_attribution"),
        *("allowed_hosts", "allowed_origins"),
        *("tls_cert_file", "tls_key_file"),
    ),
    "control API and seals": (
        *("control_host", "control_port", "control_socket", "seal_key_file"),
        *("metrics_token_file", "metrics_models"),
        *("otel_endpoint", "otel_protocol", "otel_queue_spans"),
    ),
    "limits of calls": (
        *("connect_timeout_s", "keepalive_timeout_s", "headers_timeout_s", "body_timeout_s"),
        *("max_connections", "head_timeout_s", "body_progress_timeout_s"),
        *("max_request_bytes", "body_budget_bytes"),
        *("drain_max_s", "drain_max_bytes", "slot_wait_s", "grace_s"),
        *("on_unknown", "assumed_output_cap"),
    ),
    "the ledger": (
        *("on_ledger_failure", "min_free_bytes", "segment_max_bytes", "segment_max_s", "ship_to"),
    ),
    "captured bodies": (
        *("capture", "capture_max_body_bytes", "capture_max_bytes", "capture_max_age_s", "replay"),
    ),
    "prices": ("prices", "prices_file", "provider"),
    "token counting": ("encodings", "count_max_bytes", "count_max_s"),
}
"""Title -> settings, in the order of `cab-proxy --help` and docs/settings.md."""


def state_beside(ledger: Path) -> Path:
    """Return the state folder of a ledger for which none is named."""
    inside = ledger / STATE_INSIDE
    return inside if inside.is_dir() else ledger.absolute().parent / "cab-state"


def _wrong(setting: str, message: str) -> PydanticCustomError:
    """Return the error of a setting that contradicts another one."""
    return PydanticCustomError("contradiction", "{message}", {"message": message, "name": setting})


def _base_url(value: str) -> str:
    value = value.strip()  # as it was pasted
    shown = Redactor().sentence(value)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        why = str(error).replace("Port out of range", "its port is out of the range")
        raise ValueError(f"{shown!r} is not a URL ({why}); give one, or 'demo'") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError(f"{shown!r} is not an http(s) URL; give one, or 'demo'")
    if any(character.isspace() for character in value):
        raise ValueError(f"{shown!r} has a space in it; remove it")
    if parts.query or parts.fragment:
        raise ValueError(
            f"{shown.partition('?')[0]!r} has a query or fragment; give the base URL only"
        )
    if parts.username is not None:
        # It would be in the records and in answers to agents.
        raise ValueError(f"{shown!r} holds a user or password; give the key apart from the URL")
    if called := next((each for each in _CALLED if parts.path.rstrip("/").endswith(each)), None):
        base = shown.rstrip("/").removesuffix(called)
        raise ValueError(f"{shown!r} is where calls go; give the base URL, {base!r}")
    return value


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_settings(values: Mapping[str, Any], origin: str) -> ProxySettings:
    """Return validated settings.

    Raises:
        BadConfig: A setting is unknown, missing or wrong. The message names it and `origin`.
    """
    missing = f"{origin}: no upstream; give the endpoint's URL, or 'demo' for a first look"
    return validate_settings(values, lambda name: f"{origin}: {name}", missing)


def validate_settings(
    values: Mapping[str, Any], place_of: Callable[[str], str], no_upstream: str
) -> ProxySettings:
    """Return validated settings.

    Args:
        values: Names of settings and their values.
        place_of: Name of a setting -> where its value was given, for errors.
        no_upstream: The error where there is no `upstream`.

    Raises:
        BadConfig: A setting is unknown, missing or wrong. The message names its place.
    """
    try:
        return ProxySettings.model_validate(values)
    except ValidationError as error:
        raise BadConfig(_explain(error, values, place_of, no_upstream)) from error


def _explain(
    error: ValidationError,
    values: Mapping[str, Any],
    place_of: Callable[[str], str],
    no_upstream: str,
) -> str:
    field, kind, message, choices = first_fault(error)
    # A key of a file may itself hold a dot.
    name, *inner = [field] if field in values else field.split(".")
    if kind == "missing" and field == "upstream":
        return no_upstream
    if kind == "extra_forbidden":
        inside: type[BaseModel] = ModelRates if name == "prices" else Route
        model = inside if inner else ProxySettings
        near = nearest((name, *inner)[-1], model.model_fields)
        hint = f"did you mean {near!r}?" if near else "docs/settings.md lists all settings"
        message = f"unknown setting; {hint}"
    elif choices:
        message = not_a_choice(values[field], choices)
    return f"{'.'.join([place_of(name), *inner])}: {message}"

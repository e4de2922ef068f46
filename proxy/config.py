"""Settings of the proxy: one flat table, from flags, a TOML file, or code.

`config.example.toml` documents every setting; a test keeps the two in step.
"""

import difflib
import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cab.proxy.errors import BadConfig
from cab.proxy.redaction import Redactor

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(ge=1)]


class Route(BaseModel):
    """An endpoint for some models, with what it wants of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Annotated[list[str], Field(min_length=1)]
    """Patterns of model names (`gpt-*`); the first route with one that fits is taken."""
    upstream: str
    """Base URL, as the setting of that name."""
    key_env: str = "CAB_KEY"
    """Name of the environment variable that holds its key."""
    key_header: str | None = None
    """Header that takes the key; None takes the one that the client used."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """Headers put into every request."""
    path: str | None = None
    """What stands for `/v1` in the endpoint's paths; `{model}` in it is the model's name."""
    query: dict[str, str] = Field(default_factory=dict[str, str])
    """Query parameters put into every request."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    http_proxy: str | None = None
    """HTTP proxy on the way to it."""

    @field_validator("upstream")
    @classmethod
    def _upstream_is_a_url(cls, value: str) -> str:
        return _base_url(value)


class ProxySettings(BaseModel):
    """All that can be set. Every field has a default but `upstream`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upstream: str
    """Base URL of the endpoint, with or without a trailing /v1, or `demo`."""
    upstream_key_env: str = "CAB_KEY"
    """Name of the environment variable that holds the endpoint's key."""
    routes: list[Route] = Field(default_factory=list[Route])
    """Endpoints for some models; all others go to `upstream`."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 31415
    """Port to listen on; 0 takes a free one."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that share the port; each writes a chain of its own in the ledger."""
    control_host: str | None = None
    """Address of the control API, with `control_port`; None is `host`."""
    control_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port of the control API; the agents' port then answers `/cab/health` only. 0 takes a free one."""
    control_socket: Path | None = None
    """Socket of the control API in the file system; only this user can connect."""
    seal_key_file: Path | None = None
    """Ed25519 private key in PEM form that signs the seals."""
    ledger: Path = Path("cab-ledger")
    """Folder of the audit log."""
    cell: str | None = None
    """Cell that every call without a key of its own belongs to."""
    signing_key_file: Path | None = None
    """Signing keys, where CAB_SIGNING_KEY is not set; None is `signing.key` in the ledger's folder."""
    auth: Literal["open", "keys"] = "open"
    """`keys`: a call without a valid cell key is refused with 401."""
    allow_open: bool = False
    """Listen on other addresses than loopback although `auth` is not `keys`."""
    open_attribution: bool = False
    """Believe the header X-Cab-Cell, and a cell id in the path, without a key."""
    ack: Literal["end", "none"] = "end"
    """`end`: the end of an answer leaves only after its record is on disk."""
    on_disconnect: Literal["drain", "cancel"] = "drain"
    """What happens upstream when the client goes away."""
    drain_max_s: Seconds = 120
    """Draining stops after this many seconds."""
    drain_max_bytes: Bytes = 64 << 20
    """Draining stops after this many bytes."""
    connect_timeout_s: Seconds = 30
    """Limit for the connection to the endpoint."""
    headers_timeout_s: Seconds | None = None
    """Limit for the endpoint's first answer byte; none by default, long generations are legal."""
    body_timeout_s: Seconds | None = None
    """Limit for silence inside an answer; none by default."""
    max_request_bytes: Bytes = 256 << 20
    """Larger request bodies are refused with 413."""
    count_max_bytes: Bytes = 8 << 20
    """Calls without reported usage and with more text than this are not counted here."""
    count_max_s: Seconds = 10
    """The same for calls whose counting takes longer."""
    slot_wait_s: Seconds = 60
    """How long a call may wait near a limit of its key, such as `max_concurrency`."""
    on_ledger_failure: Literal["closed", "open"] = "closed"
    """`closed`: no new calls while the ledger takes no records. `open`: they go on without."""
    segment_max_bytes: Bytes = 256 << 20
    """A ledger segment is closed, and compressed, once it is larger."""
    segment_max_s: Seconds = 86_400
    """The same for one that is older."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 64 << 20
    """New calls are refused while the ledger's disk has less space left."""
    grace_s: Seconds = 30
    """How long calls in flight may go on after SIGINT or SIGTERM."""
    encodings: dict[str, str] = Field(default_factory=dict[str, str])
    """Patterns of model names to encodings or `tokenizer.json` files, for calls counted here."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """`auto`: for people on a terminal, JSON in a pipe."""

    @field_validator("upstream")
    @classmethod
    def _upstream_is_a_url(cls, value: str) -> str:
        return value if value == "demo" else _base_url(value)

    @property
    def control_apart(self) -> bool:
        """Whether the control API has an address of its own."""
        return self.control_port is not None or self.control_socket is not None

    @model_validator(mode="after")
    def _control_port_with_its_host(self) -> Self:
        if self.control_host is not None and self.control_port is None:
            raise ValueError("control_host is set without control_port; set that too")
        return self

    @model_validator(mode="after")
    def _guarded_beyond_loopback(self) -> Self:
        if self.auth == "keys" or self.allow_open or is_loopback(self.host):
            return self
        raise ValueError(
            f"host {self.host} can be reached from other machines, and auth is 'open'; "
            'set auth = "keys" (--auth keys), or allow_open = true (--allow-open) if you mean it'
        )


def _base_url(value: str) -> str:
    parts, shown = urlsplit(value), Redactor().sentence(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{shown!r} is no http(s) URL; give one, or 'demo'")
    if parts.query or parts.fragment:
        raise ValueError(
            f"{shown.partition('?')[0]!r} has a query or fragment; give the base URL only"
        )
    if parts.username is not None:
        # It would stand in the records and in answers to agents.
        raise ValueError(f"{shown!r} holds a user or password; give the key by the environment")
    return value


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(file: Path | None, flags: dict[str, Any]) -> ProxySettings:
    """Return the settings of a file, with flags on top.

    Args:
        file: A TOML file, or None.
        flags: Setting names and values that were given on the command line.

    Raises:
        BadConfig: The file cannot be read, or a setting is unknown, missing or wrong.
    """
    origin = str(file) if file else "command line"
    return parse_settings({**(_read_toml(file) if file else {}), **flags}, origin)


def parse_settings(values: dict[str, Any], origin: str) -> ProxySettings:
    """Return validated settings.

    Raises:
        BadConfig: A setting is unknown, missing or wrong; names it and `origin`.
    """
    try:
        return ProxySettings.model_validate(values)
    except ValidationError as error:
        raise BadConfig(_explain(error, origin)) from error


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            return tomllib.load(handle)
    except OSError as error:
        raise BadConfig(f"config {file} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"config {file} is no TOML: {error}") from error


def _explain(error: ValidationError, origin: str) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing" and name == "upstream":
        return "no upstream; give --upstream URL, or --upstream demo for a first look"
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, ProxySettings.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "config.example.toml lists all settings"
        return f"{origin}: unknown setting {name!r}; {hint}"
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{origin}: {name}: {message}" if name else f"{origin}: {message}"

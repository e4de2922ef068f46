"""Which settings a reload changes, and which ones need a restart."""

from typing import NamedTuple

from cab.proxy.config import ProxySettings

RELOADABLE = frozenset(
    {
        *("upstream", "routes", "paths", "upstream_key_env", "signing_key_file", "ca_file"),
        *("tls_cert_file", "tls_key_file", "log_level"),
        *("connect_timeout_s", "keepalive_timeout_s", "headers_timeout_s", "body_timeout_s"),
        *("body_progress_timeout_s", "max_request_bytes", "drain_max_s", "drain_max_bytes"),
        *("on_disconnect", "slot_wait_s", "grace_s", "on_unknown", "assumed_output_cap"),
        *("prices", "prices_file", "provider"),
    }
)
"""Settings that a running proxy takes over. All others are read at the start only."""

_DEMO = "demo"


class Reload(NamedTuple):
    """What a reload changes."""

    settings: ProxySettings
    """As they are from now on: what needs a restart is as it was."""
    changed: tuple[str, ...]
    """Names of the settings that have other values now."""
    needs_restart: tuple[str, ...]
    """Names of those that would, and keep theirs until the next start."""


def reload_of(current: ProxySettings, wanted: ProxySettings) -> Reload:
    """Return what becomes of settings if others are read while a proxy runs.

    Args:
        current: What it runs with.
        wanted: What its file, flags and variables say now.
    """
    names = [
        name
        for name in ProxySettings.model_fields
        if getattr(current, name) != getattr(wanted, name)
    ]
    fixed = {name for name in names if not _is_reloadable(name, current, wanted)}
    changed = tuple(name for name in names if name not in fixed)
    values = {name: getattr(wanted, name) for name in changed}
    return Reload(
        current.model_copy(update=values), changed, tuple(name for name in names if name in fixed)
    )


def _is_reloadable(name: str, current: ProxySettings, wanted: ProxySettings) -> bool:
    match name:
        case "upstream" | "routes" if current.replay is not None:  # no endpoint is asked
            return False
        case "upstream":  # the built-in model server starts and ends with the proxy
            return _DEMO not in (current.upstream, wanted.upstream)
        case "tls_cert_file" | "tls_key_file":  # one port speaks http or https
            return (current.tls_cert_file is None) == (wanted.tls_cert_file is None)
        case _:
            return name in RELOADABLE

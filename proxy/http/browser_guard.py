"""Keeps web pages away from a proxy that asks nobody for a key.

A page that a browser of this machine shows can send requests to loopback: by a name of its own that
resolves to 127.0.0.1, so that the browser takes the proxy for a part of that page's site, or without
reading the answer. The first has the page's name as its `Host`, the second the page as its `Origin`;
no page can set either. `Sec-Fetch-*` says nothing: Node sends it too.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from multidict import CIMultiDictProxy

from cab.proxy.http.error_responses import RequestFailed

_LOOPBACK_NAMES = frozenset({"localhost", "host.docker.internal"})


@dataclass(frozen=True, slots=True)
class BrowserGuard:
    """Which requests without a cell's key are a program's, and not a web page's."""

    hosts: Sequence[str]
    """More names and addresses of this proxy, without a port."""
    origins: Sequence[str]
    """Web pages that may call, such as `https://tool.example`."""

    def check(self, headers: CIMultiDictProxy[str]) -> None:
        """Return if a request may come from anybody on this machine.

        Raises:
            RequestFailed: It may be a web page's; the message names the setting.
        """
        if not self._is_known(_name_of(headers.get("Host", ""))):
            message = (
                "a call without a cell's key must name this proxy by a loopback address; "
                "send a cell's key, or add the name to the setting `allowed_hosts`"
            )
            raise RequestFailed(403, "host_not_allowed", message)
        if not {origin.lower() for origin in headers.getall("Origin", [])} <= {
            origin.lower() for origin in self.origins
        }:
            message = (
                "web pages may not call without a cell's key; send one, or add the page's origin "
                "to the setting `allowed_origins`"
            )
            raise RequestFailed(403, "origin_not_allowed", message)

    def _is_known(self, name: str) -> bool:
        known = {_name_of(host) for host in self.hosts}
        return (
            name in known or name in _LOOPBACK_NAMES or name.endswith(".localhost") or _loops(name)
        )


def _name_of(host: str) -> str:
    """Return the name or address in a `Host`, in small letters, without its port.

    >>> _name_of("LocalHost.:80"), _name_of("[::1]:80")
    ('localhost', '::1')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.partition(":")
    # More than one colon is an address of version 6, as settings have it.
    return host if ":" in port else name.removesuffix(".")


def _loops(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

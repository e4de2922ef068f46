"""The endpoint's addresses in the head of an answer: the client gets the proxy's in their place.

A client that learned the endpoint's address could go on there, past the meter. What stands below the
endpoint's base is named as the client itself named the proxy, so that it comes back here with its key.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from yarl import URL

from cab.proxy.auth.attribution import split_target
from cab.proxy.forwarding.upstream import prefix_of
from cab.proxy.http.headers import Headers
from cab.proxy.http.request import HttpRequest
from cab.proxy.http.request_checks import origin_form
from cab.proxy.meter import path_fault

_ABSOLUTE = re.compile(r"\s*([a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_OWN_PATHS = ("/cab/", "/cell/")
"""What the proxy reads otherwise than the endpoint: an answer must not lead a client there."""
_WHOLE = frozenset({"location", "content-location", "operation-location", "azure-asyncoperation"})
"""Headers whose value is an address, whole or relative."""
_PARTS = {
    "link": re.compile(r"(<)([^>]*)"),
    "refresh": re.compile(r"([;,] *(?:url *= *)?[\"']?)([^\"',; ][^\"']*)", re.IGNORECASE),
}
"""Headers in which addresses are a part of the value."""


def own_address(request: HttpRequest) -> str:
    """Return the proxy's address as a client wrote it, with the `/cell/<key>` of its path."""
    raw = origin_form(request.raw_path) or ""
    target = split_target(raw).path_qs
    host = request.headers.get("Host", "")
    return (f"{request.scheme}://{host}" if host else "") + raw[: len(raw) - len(target)]


@dataclass(frozen=True, slots=True)
class Addresses:
    """The endpoint's addresses, seen from a client."""

    base: URL
    """The endpoint's base."""
    own: str
    """The proxy's address, see `own_address`."""
    added: Collection[str]
    """Names of the query parameters that the proxy adds itself."""

    def target(self, at: URL, reference: str) -> str | None:
        """Return the target below the endpoint's base that a reference means; None if it means another.

        Args:
            at: The URL that was answered.
            reference: A URL, whole or relative, as the answer has it.
        """
        found = _resolved(at, reference)
        if found is None or not self._is_endpoint(found):
            return None
        prefix = prefix_of(self.base)
        rest = found.path.removeprefix(prefix)
        below = found.path.startswith(f"{prefix}/") and not rest.startswith(_OWN_PATHS)
        text = f"{rest}?{found.query}" if found.query else rest
        clear = text.isascii() and text.isprintable() and " " not in text
        return text if below and clear and path_fault(rest) is None else None

    def hidden(self, at: URL, headers: Headers) -> Headers:
        """Return headers without the endpoint's addresses: each names the proxy, or its header is gone."""
        shown = ((name, self._shown(name.lower(), value, at)) for name, value in headers.items())
        return Headers((name, value) for name, value in shown if value is not None)

    def _shown(self, name: str, value: str, at: URL) -> str | None:
        if name in _WHOLE:
            return self._reference(at, value)
        if (pattern := _PARTS.get(name)) is not None:
            parts = [self._reference(at, match[2]) for match in pattern.finditer(value)]
            if None in parts:
                return None
            rest = iter(parts)
            return pattern.sub(lambda match: f"{match[1]}{next(rest)}", value)
        if f"//{self.base.raw_authority}" not in value.lower():
            return value
        return self._reference(at, value) if _is_one_url(value) else None

    def _reference(self, at: URL, reference: str) -> str | None:
        """Return a reference as the client may see it; None if it may not."""
        found = _resolved(at, reference)
        if found is None:
            return None
        if not self._is_endpoint(found):
            return None if (self.base.raw_host or "") in reference.lower() else reference
        if (target := self.target(at, reference)) is None:
            return None
        path, _, query = target.partition("?")
        kept = [part for part in query.split("&") if part.partition("=")[0] not in self.added]
        query = "&".join(kept)
        # A relative one stays relative: it may be read behind a server that speaks TLS for the proxy.
        own = self.own if _ABSOLUTE.match(reference) else urlsplit(self.own).path
        return f"{own}{path}{'?' if query else ''}{query}"

    def _is_endpoint(self, found: SplitResult) -> bool:
        """Return whether it is the endpoint's host, by either scheme where both have their usual port."""
        port, own = found.port or _DEFAULT_PORTS.get(found.scheme), self.base.port
        both_usual = port == _DEFAULT_PORTS.get(found.scheme) and self.base.is_default_port()
        return found.hostname == self.base.raw_host and (port == own or both_usual)


def _resolved(at: URL, reference: str) -> SplitResult | None:
    try:
        found = urlsplit(urljoin(str(at), reference.strip()))
        _ = found.port, found.hostname  # they are read only now
    except ValueError:
        return None
    return found


def _is_one_url(value: str) -> bool:
    return re.fullmatch(r"https?://[^\s\"'<>,;]+", value.strip(), re.IGNORECASE) is not None

"""What a running proxy takes over from settings and keys that are read once more, while its calls go on.

All that can be wrong is found before anything changes: the proxy runs on with all of the new, or all of the old.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from cab.proxy.auth.attribution import Identifier
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.config import ProxySettings
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstreams
from cab.proxy.http.tls_certificate import ListenerTls, listener_context, trust_certificate
from cab.proxy.redaction import Redactor
from cab.proxy.server import Server


@dataclass(frozen=True, slots=True)
class NewParts:
    """What a reload puts in the place of what is there."""

    settings: ProxySettings
    upstreams: Upstreams
    ring: KeyRing
    tls: ssl.SSLContext | None
    held: Redactor


@dataclass(frozen=True, slots=True)
class ReloadableParts:
    """The parts of a running proxy of one process that a reload changes."""

    services: ProxyServices
    server: Server
    identifier: Identifier
    tls: ListenerTls | None
    own_tls: ssl.SSLContext | None
    """How this program itself verifies the listener."""
    demo_url: str | None
    """Of the built-in model server, where that is the upstream."""

    def prepare(
        self,
        settings: ProxySettings,
        upstream_key: str | None,
        route_keys: Mapping[str, str],
        ring: KeyRing,
    ) -> NewParts:
        """Return what would change, of which nothing has yet.

        Args:
            settings: With what needs a restart as it is.
            upstream_key: The endpoint's key.
            route_keys: Those of the routes, by the variables that they name.
            ring: The signing keys.

        Raises:
            BadConfig: A file cannot be used, or a key cannot stand in a header.
        """
        tls = listener_context(settings.tls_cert_file, settings.tls_key_file)
        url = self.demo_url or settings.upstream
        upstreams = Upstreams(settings, url, upstream_key, route_keys)
        secrets = [*upstreams.secrets(), *ring.secrets()]
        # What was a secret stays one: endpoints and logs may still show it.
        return NewParts(settings, upstreams, ring, tls, self.server.held.and_holding(secrets))

    async def apply(self, new: NewParts) -> None:
        """Put the new parts in their places; calls in flight go on with those that they have."""
        services, settings = self.services, new.settings
        services.settings = settings
        unused = services.upstreams.take_over(new.upstreams)
        services.registry.set_waiting(settings.slot_wait_s, settings.on_unknown)
        self.identifier.ring.keys = new.ring.keys
        self.identifier.forget()
        self.server.renew(new.held)
        if self.tls is not None and new.tls is not None:
            self.tls.context = new.tls
        if self.own_tls is not None and settings.tls_cert_file is not None:
            trust_certificate(self.own_tls, settings.tls_cert_file)
        if not self.server.open_calls():
            await services.upstreams.close_retired()
        for upstream in unused:
            await upstream.close()

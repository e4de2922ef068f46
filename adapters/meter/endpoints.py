"""Which endpoints a metered command calls, from options and from the environment that it would have had."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cab.adapters.errors import AdapterError
from cab.adapters.meter.clients import APIS, ClientApi, http_proxy_of, own_key, own_url

PROVIDERS = "CAB_METER_PROVIDERS"
"""Variable by which a `cab meter` tells one inside it whose prices hold: its endpoints are proxies."""


class MeteredEndpoint(NamedTuple):
    """An endpoint, and whose calls go there."""

    apis: tuple[ClientApi, ...]
    upstream: str
    key: str | None
    """Its key; None passes on what clients send, or nothing."""
    key_header: str | None = None
    """Header that carries the key; None: the one that the client used."""
    provider: str | None = None
    """Whose prices hold; None: told by the URL."""
    clients_keep_keys: bool = False
    """Whether clients send keys, or a login, of their own."""

    @property
    def name(self) -> str:
        """Name of its ledger, where there are several: that of its first API."""
        return self.apis[0].name

    def settings(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """Return what a proxy's settings say of it.

        Args:
            environment: The command's, which may name an HTTP proxy.
        """
        # The command is the user's own, and had this key before: it may call what it likes.
        values: dict[str, Any] = {"upstream": self.upstream, "paths": ["/**"]}
        if self.provider is not None:
            values["provider"] = self.provider
        route: dict[str, Any] = {}
        if self.key_header is not None and self.key is not None:
            route["key_header"] = self.key_header
        if (between := http_proxy_of(self.upstream, environment)) is not None:
            route["http_proxy"] = between
        if route:
            values["routes"] = [{"models": ["*"], **route, **values}]
        return values


def named_endpoint(
    upstream: str, key: str | None, provider: str | None, environment: Mapping[str, str]
) -> MeteredEndpoint:
    """Return an endpoint that takes the calls of all clients.

    Args:
        upstream: Its base URL, or `demo`.
        key: Its key; None if it wants none.
        provider: Who sells its tokens.
        environment: The command's. Providers that few endpoints stand for are only replaced where it
            has their keys.
    """
    apis = tuple(api for api in APIS if api.is_common or own_key(api, environment))
    at_home = _api_at(upstream)
    header = None if at_home is None else at_home.key_header
    provider = provider or _outer_providers(environment).get("*")
    return MeteredEndpoint(apis, upstream, key, header, provider)


def found_endpoints(environment: Mapping[str, str]) -> Sequence[MeteredEndpoint]:
    """Return the endpoints that an environment names for its clients, each for those of one API.

    Raises:
        AdapterError: It names none.
    """
    found = [_found(api, environment) for api in APIS]
    endpoints = [each for each in found if each is not None]
    if endpoints:
        return endpoints
    raise AdapterError(
        "no endpoint to meter; set CAB_ENDPOINT and CAB_KEY, or what the command itself reads, such as "
        "OPENAI_API_KEY; --pass-keys meters a command that has logged in, --upstream demo needs no key"
    )


def passing_endpoints(
    upstream: str | None, provider: str | None, environment: Mapping[str, str]
) -> Sequence[MeteredEndpoint]:
    """Return the endpoints of a command that calls with keys, or a login, of its own.

    Args:
        upstream: One endpoint for all; None: those that the environment names, or else the public ones.
        provider: Who sells its tokens.
        environment: The command's.
    """
    if upstream is not None:
        endpoint = named_endpoint(upstream, None, provider, environment)
        return [endpoint._replace(clients_keep_keys=True)]
    return [
        MeteredEndpoint(
            (api,), own_url(api, environment) or api.default_url, None, clients_keep_keys=True
        )
        for api in APIS
        if api.is_common or own_key(api, environment)
    ]


def _found(api: ClientApi, environment: Mapping[str, str]) -> MeteredEndpoint | None:
    url, named = own_url(api, environment), own_key(api, environment)
    if url is None and named is None:
        return None
    variable, key = named or (None, None)
    header = None if variable is None or variable == api.token else api.key_header
    provider = _outer_providers(environment).get(api.name)
    return MeteredEndpoint((api,), url or api.default_url, key, header, provider)


def _outer_providers(environment: Mapping[str, str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in environment.get(PROVIDERS, "").split())
    return {name: provider for name, _, provider in pairs if provider}


def providers_inside(endpoints: Sequence[MeteredEndpoint], *, for_all: bool) -> str:
    """Return what `PROVIDERS` is for a command: whose prices hold for each API, or for `*`, all of them."""
    known = {
        "*" if for_all else each.name: each.provider or _provider_of(each.upstream)
        for each in endpoints
    }
    return " ".join(f"{name}={provider}" for name, provider in known.items() if provider)


def _provider_of(url: str) -> str | None:
    api = _api_at(url)
    return None if api is None else api.name


def _api_at(url: str) -> ClientApi | None:
    """Return the API whose provider has an endpoint there; None for any other endpoint."""
    try:
        host = urlsplit(url).netloc
    except ValueError:  # the proxy's settings say what is wrong with it
        return None
    return next((api for api in APIS if host == urlsplit(api.default_url).netloc), None)


def given_upstream(flag: str | None) -> str | None:
    """Return the endpoint that an option or CAB_ENDPOINT names; None if neither does."""
    return flag or os.environ.get("CAB_ENDPOINT") or None

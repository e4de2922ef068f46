"""Redirects of the endpoint: which are followed here, which go to the client, and which to nobody."""

from cab.proxy.forwarding.addresses import Addresses
from cab.proxy.forwarding.answers import EndpointAnswer
from cab.proxy.forwarding.failures import UpstreamFailed
from cab.proxy.forwarding.upstream import join
from cab.proxy.meter import dialect_for
from cab.scoring.ledger.records import Endpoint

MAX_HOPS = 3
"""More redirects of one call are not followed."""
_REPEATING = frozenset({307, 308})
"""Statuses after which the same request is made again; after others clients make a GET of it."""


def onward(
    answer: EndpointAnswer, addresses: Addresses, endpoint: Endpoint, *, has_body: bool
) -> str | None:
    """Return the target that a call must be sent to again; None if its answer is the client's.

    A metered call is sent on to a path of its own dialect below the endpoint's base. All other
    redirects below it are the client's: it follows them through the proxy, as a call of their own.

    Raises:
        UpstreamFailed: It leads to another address: the key must not go there, nor the client.
    """
    location = answer.headers.get("Location")
    if location is None or answer.status // 100 != 3 or answer.status == 304:
        return None
    target = addresses.target(answer.url, location)
    if target is None or str(join(addresses.base, target)) == str(answer.url):
        raise not_followed(answer, "to another address")
    if answer.status not in _REPEATING:
        return None
    dialect = dialect_for(answer.method, target, has_body=has_body)
    return target if dialect is not None and dialect.name == endpoint else None


def not_followed(answer: EndpointAnswer, how: str) -> UpstreamFailed:
    """Return the failure of a redirect that nobody may follow."""
    message = (
        f"{answer.url.authority}: the endpoint redirects {how}, which is not followed; "
        "give the proxy the endpoint's final address"
    )
    return UpstreamFailed(502, "upstream_error", "upstream_redirect", message, retry=False)

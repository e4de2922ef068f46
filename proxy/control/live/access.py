"""Who may look at the live view: the admin, who comes by the control socket, and who has the printed address.

Agents live on the same machine, so that an address on loopback is no right. The address that is printed
at the start holds a token that opens the view once; the browser gets a cookie for it. That a token was used
is kept in the state folder, since another process of the proxy may answer the next request.
"""

import hashlib
import hmac
import socket
from pathlib import Path

from aiohttp import web

from cab.proxy.control.authorization import Access
from cab.proxy.control.live.tokens import spend_live_token
from cab.proxy.http.error_responses import RequestFailed

COOKIE = "cab_live"
SESSION_S = 12 * 3600
_PURPOSE = b"cab live view"


class LiveAccess:
    """Lets in who may look.

    Args:
        access: The rules of the control API, its keys among them.
        state_folder: Where used tokens are known.
    """

    def __init__(self, access: Access, state_folder: Path) -> None:
        self._access = access
        self._state_folder = state_folder

    def redeem(self, token: str) -> str | None:
        """Return the value of a cookie for a token; None if it is not valid, or was used."""
        if not spend_live_token(self._state_folder, token, self._access.now_s()):
            return None
        until_s = self._access.now_s() + SESSION_S
        return f"{until_s}.{self._sign(until_s)}"

    def require(self, request: web.BaseRequest) -> None:
        """Return if a request may see the view.

        Raises:
            RequestFailed: It may not.
        """
        if _by_socket(request) or self._access.is_admin(request) or self._has_cookie(request):
            return
        message = (
            "open the address that cab-proxy printed at its start, which works once, "
            "or send the admin token as the bearer token"
        )
        raise RequestFailed(401, "live_view_closed", message)

    def _has_cookie(self, request: web.BaseRequest) -> bool:
        until, _, signature = request.cookies.get(COOKIE, "").partition(".")
        if not (until.isascii() and until.isdecimal() and len(until) < 20):
            return False
        until_s = int(until)
        if self._access.now_s() >= until_s:
            return False
        return hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._sign(until_s).encode()
        )

    def _sign(self, until_s: int) -> str:
        secret = self._access.identifier.ring.secrets()[0].encode()
        return hmac.new(secret, _PURPOSE + str(until_s).encode(), hashlib.sha256).hexdigest()


def _by_socket(request: web.BaseRequest) -> bool:
    """Return whether a request came by the control socket, which only this user can open."""
    transport = request.transport
    bound = None if transport is None else transport.get_extra_info("socket")
    return bound is not None and bound.family == socket.AF_UNIX

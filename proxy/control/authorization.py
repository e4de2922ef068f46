"""Who may ask the control API: the admin for everything, a cell's keys for their own cell."""

import hmac
from dataclasses import dataclass

from aiohttp import web

from cab.proxy.auth.attribution import Identifier, Target
from cab.proxy.clock import Clock
from cab.proxy.errors import BadConfig
from cab.proxy.http.browser_guard import BrowserGuard
from cab.proxy.http.error_responses import RequestFailed
from cab.proxy.http.headers import header_fault

MIN_ADMIN_TOKEN_BYTES = 16
_NO_PATH = Target("", None)


def check_admin_token(token: str, origin: str = "CAB_ADMIN_TOKEN") -> str:
    """Return an admin token that is long enough and can be sent.

    Args:
        token: The token.
        origin: Where it was given, for errors; they never hold a part of it.

    Raises:
        BadConfig: It has fewer than 16 bytes, or cannot stand in a header.
    """
    if fault := header_fault(token):
        raise BadConfig(f"{origin} {fault}")
    if len(token.encode(errors="replace")) < MIN_ADMIN_TOKEN_BYTES:
        raise BadConfig(
            f"{origin} has fewer than {MIN_ADMIN_TOKEN_BYTES} bytes; "
            "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of the control API, fixed when the proxy starts."""

    identifier: Identifier
    clock: Clock
    admin_token: str | None
    """None: there is no admin."""
    guard: BrowserGuard
    """Of callers who are a cell without its key."""

    def now_s(self) -> int:
        """Return the seconds since the Unix epoch."""
        return self.clock.wall_ns() // 1_000_000_000

    def is_admin(self, request: web.BaseRequest) -> bool:
        """Return whether a request holds the admin token."""
        scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
        if self.admin_token is None or scheme.lower() != "bearer":
            return False
        # Of bytes: of texts it takes ASCII only.
        sent_bytes = sent.strip().encode(errors="surrogateescape")
        return hmac.compare_digest(sent_bytes, self.admin_token.encode(errors="surrogateescape"))

    def require_admin(self, request: web.BaseRequest) -> None:
        """Return if a request comes from the admin.

        Raises:
            RequestFailed: It does not, or there is no admin.
        """
        if self.admin_token is None:
            message = (
                "this proxy has no admin token; start it with CAB_ADMIN_TOKEN set, or with "
                "admin_token in Python"
            )
            raise RequestFailed(403, "no_admin_token", message)
        if not self.is_admin(request):
            raise RequestFailed(
                401, "admin_token_required", "send the admin token as the bearer token"
            )

    def require_cell(
        self, request: web.BaseRequest, cell_id: str, *, to_seal: bool = False
    ) -> bool:
        """Return if a request may ask about a cell, or open or seal it; True if it is the admin's.

        Raises:
            RequestFailed: It comes from another cell, or from an unknown caller, or it wants to open or
                seal the cell with the key that is for calls.
            BadKey: Its key is not valid.
        """
        if self.is_admin(request):
            return True
        caller = self.identifier.identify(request.headers, _NO_PATH, self.now_s())
        if caller.key is None:
            self.guard.check(request.headers)
        if caller.foreign_key is not None or caller.cell_id is None:
            message = "send the cell's key, or the admin token, as the bearer token"
            raise RequestFailed(401, "cell_key_required", message)
        if caller.cell_id != cell_id:
            message = "this key is another cell's; send this cell's, or the admin token"
            raise RequestFailed(403, "other_cell", message)
        if to_seal and (caller.key is None or caller.key.scope != "seal"):
            message = (
                "this key is for calls; open and seal with the cell's seal key, or the admin token"
            )
            raise RequestFailed(403, "seal_key_required", message)
        return False

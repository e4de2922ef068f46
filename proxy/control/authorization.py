"""Who may ask the control API: the admin for everything, a cell's keys for their own cell, scrapers for metrics."""

import hmac
from dataclasses import dataclass

from aiohttp import web

from cab.proxy.auth.attribution import Identifier, Target
from cab.proxy.auth.held_secrets import read_token
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.http.browser_guard import BrowserGuard
from cab.proxy.http.error_responses import RequestFailed
from cab.proxy.http.headers import credential, header_fault

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


def metrics_token_from(given: str | None, settings: ProxySettings) -> str | None:
    """Return the token that reads metrics: the given one, else that of `metrics_token_file`, else None.

    Raises:
        BadConfig: It cannot be read, is short, or cannot stand in a header.
    """
    file = settings.metrics_token_file
    if given:
        return check_admin_token(given, "CAB_METRICS_TOKEN")
    if file is None:
        return None
    return check_admin_token(read_token(file, place := f"metrics_token_file {file}"), place)


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of the control API, fixed when the proxy starts."""

    identifier: Identifier
    clock: Clock
    admin_token: str | None
    """None: there is no admin."""
    guard: BrowserGuard
    """Of callers who are a cell without its key."""
    metrics_token: str | None = None
    """None: metrics are read with the admin token, or at the control API's own address."""

    def now_s(self) -> int:
        """Return the seconds since the Unix epoch."""
        return self.clock.wall_ns() // 1_000_000_000

    def is_admin(self, request: web.BaseRequest) -> bool:
        """Return whether a request holds the admin token."""
        return _is_sent(request, self.admin_token)

    def require_metrics(self, request: web.BaseRequest, *, apart: bool) -> None:
        """Return if a request may read the metrics; an agent may not, whatever its key.

        Args:
            request: The request.
            apart: Whether it came to the control API's own address.

        Raises:
            RequestFailed: It may not.
        """
        if self.is_admin(request) or _is_sent(request, self.metrics_token):
            return
        if apart and not credential(request.headers):
            self.guard.check(request.headers)
            return
        if self.admin_token is None and self.metrics_token is None:
            message = (
                "no token reads the metrics; start the proxy with CAB_METRICS_TOKEN set, or with "
                "metrics_token_file"
            )
            raise RequestFailed(403, "no_metrics_token", message)
        message = "send the metrics token, or the admin token, as the bearer token"
        raise RequestFailed(401, "metrics_token_required", message)

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


def _is_sent(request: web.BaseRequest, token: str | None) -> bool:
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    # Of bytes: of texts it takes ASCII only.
    sent_bytes = sent.strip().encode(errors="surrogateescape")
    return hmac.compare_digest(sent_bytes, token.encode(errors="surrogateescape"))

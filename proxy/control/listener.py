"""The control API's own address, where it has one: another port, or a socket in the file system."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.http.client_connections import ConnectionLimits, HttpServer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_MOST_CONNECTIONS = 32
"""Within the descriptors that are kept in reserve."""


@asynccontextmanager
async def control_listener(settings: ProxySettings, handle: Handler) -> AsyncGenerator[str]:
    """Answer the control API at its own address while the context is open.

    Args:
        settings: Name the address.
        handle: Answers a request.

    Returns:
        Its URL: `http://host:port`; `unix:` and the socket's path where there is no port.

    Raises:
        BadConfig: It cannot be listened on.
    """
    limits = ConnectionLimits(_MOST_CONNECTIONS, settings.head_timeout_s)
    runner = web.ServerRunner(HttpServer(handle, limits), shutdown_timeout=1)
    await runner.setup()
    bound: socket.socket | None = None
    try:
        url = f"unix:{settings.control_socket}"
        if settings.control_port is not None:
            url = await _listen(
                runner, settings.control_host or settings.host, settings.control_port
            )
        if settings.control_socket is not None:
            bound = await asyncio.to_thread(_bind, settings.control_socket)
            await web.SockSite(runner, bound).start()
        yield url
    finally:
        await runner.cleanup()
        if bound is not None and settings.control_socket is not None:
            settings.control_socket.unlink(missing_ok=True)


async def _listen(runner: web.ServerRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BadConfig(
            f"the control API cannot listen on {host} port {port}: "
            f"{reason.lower()}; give another with control_port (0 takes a free one)"
        ) from error
    bound_host, bound_port = runner.addresses[0][:2]
    return f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"


def _bind(path: Path) -> socket.socket:
    """Return a socket bound to a path that only this user can connect to."""
    bound = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        # Before it is bound, so that it is nobody else's from its first moment on.
        os.fchmod(bound.fileno(), 0o600)
        bound.bind(str(path))
    except OSError as error:
        bound.close()
        reason = os.strerror(error.errno) if error.errno else str(error)  # a long path has none
        raise BadConfig(
            f"the control API cannot listen on {path}: {reason.lower()}; "
            "give another path with control_socket"
        ) from error
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on, left by a proxy that was killed."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

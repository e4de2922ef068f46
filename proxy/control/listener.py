"""The control API's own address, where it has one: another port, or a socket in the file system."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.http.client_connections import ConnectionLimits, HttpServer
from cab.proxy.http.tls_certificate import ListenerTls

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_MOST_CONNECTIONS = 32
"""At all addresses together; within the descriptors that are kept in reserve."""
_MOST_PATH_BYTES = 107
"""Longest path of a socket on Linux (unix(7))."""


@asynccontextmanager
async def control_listener(
    settings: ProxySettings,
    handle: Handler,
    tls: ListenerTls | None = None,
    inherited: socket.socket | None = None,
) -> AsyncGenerator[str]:
    """Answer the control API at its own address while the context is open.

    Args:
        settings: Name the address.
        handle: Answers a request.
        tls: What clients speak TLS with at its port; None: they speak plain HTTP.
        inherited: Listens at its port already.

    Returns:
        Its URL: `http://host:port`, or `https`; `unix:` and the socket's path where there is no port.

    Raises:
        BadConfig: It cannot be listened on.
    """
    addresses = [settings.control_port, settings.control_socket]
    most = _MOST_CONNECTIONS // sum(address is not None for address in addresses)
    limits = ConnectionLimits(most, settings.head_timeout_s)
    url = f"unix:{settings.control_socket}"
    async with AsyncExitStack() as stack:
        if settings.control_port is not None:
            runner = await stack.enter_async_context(_running(HttpServer(handle, limits, tls=tls)))
            host = settings.control_host or settings.host
            address = await _listen(runner, host, settings.control_port, inherited)
            url = f"{'http' if tls is None else 'https'}://{address}"
        if settings.control_socket is not None:
            runner = await stack.enter_async_context(_running(HttpServer(handle, limits)))
            bound = await asyncio.to_thread(_bind, settings.control_socket)
            stack.callback(settings.control_socket.unlink, missing_ok=True)
            await web.SockSite(runner, bound).start()
        yield url


@asynccontextmanager
async def _running(server: HttpServer) -> AsyncGenerator[web.ServerRunner]:
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


async def _listen(
    runner: web.ServerRunner, host: str, port: int, inherited: socket.socket | None
) -> str:
    try:
        if inherited is None:
            await web.TCPSite(runner, host, port).start()
        else:
            await web.SockSite(runner, inherited).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BadConfig(
            f"the control API cannot listen on {host} port {port}: "
            f"{reason.lower()}; give another with control_port (0 takes a free one)"
        ) from error
    bound_host, bound_port = runner.addresses[0][:2]
    return f"{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"


def check_socket_path(path: Path) -> None:
    """Return if a socket can be bound to a path, as far as can be told without doing it.

    Raises:
        BadConfig: It cannot: the path is too long, is another file, or its folder cannot be written.
    """
    why = None
    if len(os.fsencode(path)) > _MOST_PATH_BYTES:
        why = f"the path has more than {_MOST_PATH_BYTES} bytes"
    elif not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        why = "its folder is missing, or may not be written"
    elif path.exists() and not path.is_socket():
        why = "it is there, and is not a socket"
    if why is not None:
        raise BadConfig(
            f"the control API cannot listen on {path}: {why}; give another path with control_socket"
        )


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

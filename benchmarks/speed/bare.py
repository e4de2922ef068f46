"""A proxy of aiohttp that only passes bytes on, which the guard takes as its measure.

    python benchmarks/speed/bare.py --port PORT --upstream PORT

How many times nginx's processor time a program in Python takes depends on the processor: the same commit took
8.7 times on one kind and 13.6 times on another. Both sides of the guard's ratios are therefore mostly Python.
"""

import argparse
import asyncio

import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

_HOP = frozenset(("Connection", "Host", "Transfer-Encoding"))


def application(upstream: str, session: ClientSession) -> web.Application:
    """Return the proxy.

    Args:
        upstream: Base URL of the endpoint.
        session: Its connections.
    """

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        url, body = f"{upstream}{request.path_qs}", await request.read()
        async with session.request(request.method, url, headers=headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    return app


async def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True, help="port of the endpoint")
    options = parser.parse_args()
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session:
        app = application(f"http://127.0.0.1:{options.upstream}", session)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", options.port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main())

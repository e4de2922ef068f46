"""`python -m cab.proxy.demo`: the demo model server alone, as an upstream for tests."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from cab.proxy.demo.server import running_demo
from cab.proxy.errors import CabProxyError


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 when stopped by a signal, 2 if it cannot listen."""
    parser = argparse.ArgumentParser(
        prog="python -m cab.proxy.demo",
        description="A scripted model server: OpenAI chat completions without key or network.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (a free one)")
    options = parser.parse_args(argv)
    try:
        asyncio.run(_serve(options.host, options.port))
    except CabProxyError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _serve(host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running_demo(host, port) as demo:
        sys.stdout.write(f"demo model server on {demo.url}, account at {demo.url}/demo/account\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m cab.proxy.demo`: the demo model server alone, as an upstream for tests."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from cab.proxy.demo.fault_modes import NAMES, PAUSE_S, read_fault_mode
from cab.proxy.demo.server import running_demo
from cab.proxy.errors import CabProxyError


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 when stopped by a signal, 2 if it cannot listen."""
    parser = argparse.ArgumentParser(
        prog="python -m cab.proxy.demo",
        description="A scripted model server without key or network. It understands OpenAI chat "
        "completions and responses, Anthropic messages and Gemini generations.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (a free one)")
    parser.add_argument(
        "--fault-mode",
        metavar="NAME[:CALLS]",
        help="misbehave for so many model calls, or for `all`; "
        f"without a number as long as is usual for the mode: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--pause-s",
        type=float,
        default=PAUSE_S,
        metavar="SECONDS",
        help="pause before each event in the mode slow_stream (%(default)s)",
    )
    options = parser.parse_args(argv)
    try:
        asyncio.run(_serve(options))
    except CabProxyError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _serve(options: argparse.Namespace) -> None:
    text = options.fault_mode
    mode = None if text is None else read_fault_mode(text, options.pause_s)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running_demo(options.host, options.port, fault_mode=mode) as demo:
        sys.stdout.write(f"demo model server on {demo.url}, account at {demo.url}/demo/account\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())

"""The metering proxy: run it inside a program of your own, or ask one that runs elsewhere.

On an event loop:

    from cab.proxy import running_proxy

    async with running_proxy(upstream="https://host/v1", key=KEY, ledger="cab-ledger") as proxy:
        cell = await proxy.open_cell("nightly/my-agent/gpt-5/chat/hello", ttl_s=3600)
        ...  # calls go to cell.base_url, with cell.headers or with cell.key as the API key
        print(await proxy.totals(cell.cell_id))
        sealed = await proxy.seal(cell.cell_id)

Without one, as in a plain pytest test, the same on a thread:

    from cab.proxy import start_proxy

    with start_proxy(upstream="demo", ledger="cab-ledger") as proxy:
        cell = proxy.open_cell("nightly/my-agent/demo/chat/hello", ttl_s=3600)

Settings are keyword arguments, with the names of config.example.toml. A proxy that runs elsewhere:

    from cab.proxy import ControlClient

    async with ControlClient("http://host:31415", ADMIN_TOKEN) as control:
        minted = await control.mint("nightly/my-agent/gpt-5/chat/hello", ttl_s=3600)

Everything is imported when it is first used: `import cab.proxy` costs nothing. All errors are
`CabProxyError`s. What is not listed in `__all__` is not public.
"""

from typing import TYPE_CHECKING

from cab.proxy.lifecycle.lazy import attribute_loader

if TYPE_CHECKING:
    from cab.proxy.accounting.limits import KeyLimits
    from cab.proxy.control.client import ControlClient, SealedCell
    from cab.proxy.control.running_proxy import OpenCell, RunningProxy
    from cab.proxy.errors import BadConfig, CabProxyError, ProxyRefused
    from cab.proxy.ledger.shipping.sink import (
        ChainIdentity,
        LedgerSink,
        PositionMoved,
        ShippedLine,
        ShipPosition,
        SinkFailed,
        SinkTarget,
    )
    from cab.proxy.workers.embedded import BlockingProxy, running_proxy, start_proxy
else:
    __getattr__ = attribute_loader(
        __name__,
        {
            "accounting.limits": ["KeyLimits"],
            "control.client": ["ControlClient", "SealedCell"],
            "workers.embedded": ["BlockingProxy", "running_proxy", "start_proxy"],
            "errors": ["BadConfig", "CabProxyError", "ProxyRefused"],
            "control.running_proxy": ["OpenCell", "RunningProxy"],
            "ledger.shipping.sink": [
                *("ChainIdentity", "LedgerSink", "PositionMoved", "ShippedLine"),
                *("ShipPosition", "SinkFailed", "SinkTarget"),
            ],
        },
    )

__all__ = [
    "BadConfig",
    "BlockingProxy",
    "CabProxyError",
    "ChainIdentity",
    "ControlClient",
    "KeyLimits",
    "LedgerSink",
    "OpenCell",
    "PositionMoved",
    "ProxyRefused",
    "RunningProxy",
    "SealedCell",
    "ShipPosition",
    "ShippedLine",
    "SinkFailed",
    "SinkTarget",
    "running_proxy",
    "start_proxy",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

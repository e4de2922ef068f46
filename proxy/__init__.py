"""The metering proxy, its ledger, its keys and its control API.

    cli -> app -> server -> upstream, ledger, keys -> meter (pure)

`app` is the one place where the parts are put together. `meter` never does I/O.
"""

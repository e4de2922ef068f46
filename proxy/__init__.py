"""The metering proxy, its ledger, its keys and its control API.

    cli -> workers -> app -> server -> exchange -> book, ledger, upstream, counting -> meter (pure)

`app` is the one place where the parts are put together. `meter` never does I/O. `control` and its
neighbours answer `/cab/`; `ledger` hands records to `writer`, which keeps `segments`; `book` knows what
each cell has spent, and with several workers it is asked over a socket (`bookline`, `bookserver`).
"""

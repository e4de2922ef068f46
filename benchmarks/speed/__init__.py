"""What metering costs: the proxy beside other proxies, under the same load in the same run.

    python -m benchmarks.speed [--rounds 3]       the whole comparison, written to docs/performance.md
    python -m benchmarks.speed.guard              ratios to a bare proxy that no change may raise
    python -m benchmarks.speed.soak               half load with faults, for as long as you like

    __main__, guard, soak > report > goals, plot > rounds > contenders > endpoint, load > messages, processes

Endpoint, contender and clients are processes of their own. Processor time is that of the contender's
processes alone, so a slow client costs calls per second, but no processor time.
"""

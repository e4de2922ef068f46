"""A sweep: agents x models x tasks x runs, N at a time, through one proxy into one ledger.

    sweepfile -> matrix -> session -> scheduler -> executors -> report

The journal records what was started and how it ended. From it and from the bundles on disk a sweep
goes on after a kill; a cell that is complete is not run again.
"""

"""Tests of `cab.proxy.ledger.archive`."""

"""The append-only, hash-chained ledger: one writer thread, recovery after any stop."""

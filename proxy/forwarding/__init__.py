"""One call on its way: request up, answer down, START and END into the ledger."""

"""What of a ledger lies in an archive: checkpoints, segments, and whether they hold."""

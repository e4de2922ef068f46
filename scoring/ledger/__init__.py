"""Ledgers: their records, segments, chains, seals and sums."""

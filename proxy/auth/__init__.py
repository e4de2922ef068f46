"""Cell keys, the keys that sign them, revocations, and which cell a call belongs to."""

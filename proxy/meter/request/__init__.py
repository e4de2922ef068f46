"""What a request says, its hash, and the one change made to it."""

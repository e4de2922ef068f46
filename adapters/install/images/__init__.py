"""Container images of agents: built from one Containerfile, read back from the engine."""

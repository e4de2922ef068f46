"""Ray: cells as actors of a cluster, by way of a process that talks to it."""

"""The tree of a workspace, and its changes as a patch."""

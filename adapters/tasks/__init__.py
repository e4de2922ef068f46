"""Tasks: their models, their workspaces and their hidden checks."""

"""The control API `/cab/...`: health, cells, seals, keys."""

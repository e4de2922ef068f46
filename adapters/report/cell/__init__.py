"""The page of one cell: one module per part of it."""

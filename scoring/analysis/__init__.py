"""Many cells: observed, aggregated, compared and reconciled."""

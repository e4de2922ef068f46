"""Ships the lines of a ledger to a database or another sink, at least once, as they are written."""

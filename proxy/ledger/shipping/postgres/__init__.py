"""The ledger in PostgreSQL: its tables, how lines get there, and how they are read back."""

"""Metrics: counted beside the ledger, added up over all workers, written for Prometheus when somebody asks."""

"""A lake: calls and cells as Parquet files in one folder, to which exports add what is new.

`cab ledger export --lake` adds calls, `cab export lake` adds cells. docs/lake.md describes the folder.
"""

"""SWE-bench: predictions, reports of its evaluation, and the results of published submissions."""

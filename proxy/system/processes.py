"""The table of processes: from /proc on Linux, which costs the least, and through psutil elsewhere."""

import sys

if sys.platform == "linux":
    from cab.proxy.system import procfs as table
else:
    from cab.proxy.system import portable as table

process_ids = table.process_ids
facts_of = table.facts_of
parent_of = table.parent_of
children_of = table.children_of
arguments_of = table.arguments_of
environment_of = table.environment_of

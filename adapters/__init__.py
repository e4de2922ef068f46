"""One file per agent CLI, the bundled tasks, and the runner that makes a scored cell of them.

cli -> commands -> runner -> agents, tasks, manifests -> cab.proxy, cab.scoring
"""

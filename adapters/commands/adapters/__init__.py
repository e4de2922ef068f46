"""`cab adapters`: lists, installs, shows and examines agents."""

from cab.adapters.ui.command import Command

DESCRIPTION = """\
The agents that cells can be run with. Each is installed into an environment of
its own below ~/.local/share/cab/agents, or cab/agents in XDG_DATA_HOME.
"""

COMMANDS = {
    "list": Command(f"{__name__}.list", "list all agents: version, APIs, state, token report"),
    "install": Command(f"{__name__}.install", "install agents; those that are installed stay"),
    "show": Command(f"{__name__}.show", "show one agent, and how to connect it to an endpoint"),
    "doctor": Command(f"{__name__}.doctor", "prove that every model call of an agent is metered"),
}

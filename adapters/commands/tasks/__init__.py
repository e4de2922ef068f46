"""`cab tasks`: lists, shows and checks tasks."""

from cab.adapters.ui.command import Command

DESCRIPTION = """\
The tasks that come with CAB. A task of your own is given as the path of its folder: ./mine.
"""

COMMANDS = {
    "list": Command(f"{__name__}.list", "list all tasks, and what they need"),
    "show": Command(f"{__name__}.show", "show what a task asks for, and what it checks"),
    "check": Command(
        f"{__name__}.check", "check that a task's solution passes, and that cheating fails"
    ),
}

"""One module per subcommand of `cab`, imported when it is asked for.

A command's module has DESCRIPTION, EPILOG, OPTIONS and `run`; that of a group has DESCRIPTION and COMMANDS.
"""

"""Removes what is in some folders, as far as the user that runs it may.

python -P -m cab.adapters.runs.inside.emptying FOLDER...
"""

import sys
from contextlib import suppress
from pathlib import Path

from cab.adapters.workspaces.removal import remove_tree


def main(folders: list[str]) -> None:
    """Empty folders that others share; what is not this user's stays."""
    for folder in folders:
        with suppress(OSError):
            for path in Path(folder).iterdir():
                remove_tree(path)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Removes what is in some folders, as far as the user that runs it may.

python -P -m cab.adapters.runs.inside.emptying FOLDER...
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from cab.adapters.workspaces.removal import remove_tree


def main(folders: list[str]) -> None:
    """Empty folders that others share; what is not this user's stays."""
    for folder in folders:
        with suppress(OSError):
            for name in os.listdir(folder):
                remove_tree(Path(folder, name))


if __name__ == "__main__":
    main(sys.argv[1:])

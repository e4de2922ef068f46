"""Makes ready what the users inside share: folders, and the key that only cab may have.

Only the standard library is imported: this runs as container root.
"""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cab.proxy.auth.held_secrets import SECRET_VARIABLES, hide

if TYPE_CHECKING:
    from cab.adapters.runs.inside.supervisor import InsideLayout

_PACKAGE: Final = "cab.adapters"


def prepare_folders(layout: "InsideLayout") -> None:
    """Make cab's scratch folder, and close the tasks to the agent: their checks and answers are in them.

    Raises:
        OSError: The container's file system cannot be written.
    """
    uid, gid = layout.user
    for folder, mode in ((layout.scratch, 0o711), (layout.scratch / "home", 0o700)):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, uid, gid)
        folder.chmod(mode)  # the agent passes through it to its workspace, but cannot list it
    suite = _suite()
    os.chown(suite, 0, gid)
    suite.chmod(0o750)


def hide_key() -> None:
    """Take the secrets out of this process, once they are in the environment that cab gets."""
    hide((), SECRET_VARIABLES)


def _suite() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations))) / "suite"

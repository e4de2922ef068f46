"""The entry point of an image: starts `cab` with the arguments, as the user that it should be.

    python -P -m cab.adapters.runs.inside run-cell --tui T --model M --task F/T

As container root it sets up the three users and their folders. With `--user` there is no root: then all
run as that user, and cells say so.
"""

import errno
import os
import socket
import sys
from pathlib import Path

from cab.adapters.runs.inside import roles
from cab.adapters.runs.inside.programs import CannotStart, Program, living
from cab.adapters.runs.inside.setup import hide_key, prepare_folders
from cab.adapters.runs.inside.supervisor import InsideLayout, Supervisor

_RIGHTS = "give root the engine's usual rights (no --cap-drop), or start it with --user UID"


def main(words: list[str]) -> int:
    """Run `cab` with some arguments; return its exit code."""
    if Path(sys.prefix) != roles.PREFIX:  # as root it changes owners, which is for images
        sys.stderr.write(
            f"{__package__} is the entry point of images that cab images build makes\n"
        )
        return 2
    try:
        return _as_root(words) if os.geteuid() == 0 else _as_user(words)
    except (CannotStart, OSError) as error:
        sys.stderr.write(f"cab cannot be started in this container: {_reason(error)}\n")
        return 2


def _reason(error: CannotStart | OSError) -> str:
    if isinstance(error, CannotStart):
        return f"{error}; {_RIGHTS}"
    what = f"{error.filename or 'root'}: {error.strerror}"
    if error.errno == errno.EROFS:
        return f"{what}; leave out --read-only, or start it with --user UID"
    return f"{what}; {_RIGHTS}"


def _as_root(words: list[str]) -> int:
    for role, uid in roles.UIDS.items():
        if living(uid):
            raise CannotStart(f"processes of user {uid} ({role}) run here that are not ours")
    owner = roles.RUNS.stat()
    layout = InsideLayout(roles.cab_user(owner.st_uid, owner.st_gid))
    prepare_folders(layout)
    ours, channel = socket.socketpair()
    env = {
        **os.environ,
        "HOME": str(roles.SCRATCH / "home"),
        "TMPDIR": str(roles.SCRATCH),
        roles.DESCRIPTOR: str(channel.fileno()),
    }
    uid, gid = layout.user
    cab = Program(
        _command(words), env, "/", uid, gid, groups=(roles.CAB_UID,), keep=(channel.detach(),)
    )
    hide_key()
    return Supervisor(layout, ours).run(cab, drop=True)


def _as_user(words: list[str]) -> int:
    env = {"HOME": "/tmp", **os.environ, roles.DESCRIPTOR: roles.SHARED}
    uid, gid = os.getuid(), os.getgid()
    cab = Program(_command(words), env, "/", uid, gid)
    hide_key()
    return Supervisor(None, None).run(cab, drop=False)


def _command(words: list[str]) -> list[str]:
    return [sys.executable, "-P", str(Path(sys.executable).parent / "cab"), *words]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

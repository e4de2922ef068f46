"""Who is who inside an image."""

import subprocess
import sys

import pytest

from cab.adapters.runs.inside.roles import CAB_UID, UIDS, cab_user


@pytest.mark.parametrize(
    ("owner", "group", "user"),
    [
        (1000, 1000, (1000, 1000)),
        (1000, 0, (1000, CAB_UID)),
        (0, 0, (CAB_UID, CAB_UID)),
        *((uid, uid, (CAB_UID, CAB_UID)) for uid in UIDS.values()),
    ],
)
def test_cab_is_the_owner_of_the_runs_and_never_root_or_the_agent(
    owner: int, group: int, user: tuple[int, int]
) -> None:
    """Its files are the owner's from the first byte, unless that would make it root or one of the others."""
    assert cab_user(owner, group) == user


def test_the_entry_point_does_nothing_outside_an_image() -> None:
    """As root it changes owners: on a machine that is not an image it says so and ends."""
    words = [sys.executable, "-P", "-m", "cab.adapters.runs.inside", "run-cell"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr
        == "cab.adapters.runs.inside is the entry point of images that cab images build makes\n"
    )

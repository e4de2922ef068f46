"""Real containers in tests: an engine, the images of this tree, and one command of podman."""

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest

from cab.adapters.agents.registry import load_adapter
from cab.adapters.install.images.build_request import agent_image_name, checks_image_name
from cab.adapters.install.images.own_wheel import write_own_wheel
from cab.adapters.processes.cleanup import ENGINES

BASE = os.environ.get("BASE", "localhost/cab-base:bookworm")
"""Image that test images are built on, as in the Makefile."""

CHECKS = checks_image_name()
"""Image with the programs of all tasks."""

# What lies there, and not what its metadata or its labels say: a layer that was used again may be an old one.
_CODE = """\
import hashlib, pathlib, sysconfig
root = pathlib.Path(sysconfig.get_paths()["purelib"])
for path in sorted(root.glob("cab/**/*")):
    if path.is_file() and path.suffix != ".pyc":
        print(path.relative_to(root), hashlib.sha256(path.read_bytes()).hexdigest())
"""


def agent_image(tui: str) -> str:
    """Return the name of the image that `cab images build TUI` makes."""
    return agent_image_name(tui, load_adapter(tui).facts.version)


def not_here(reason: str) -> None:
    """Skip a test that needs containers; fail in CI, where they must be there."""
    if os.environ.get("CI"):
        pytest.fail(f"this test must run in CI: {reason}")
    pytest.skip(reason)


@functools.cache
def find_engine_program() -> str | None:
    """Return the container engine that answers, by its name; None if there is none."""
    return next((name for name in ENGINES if shutil.which(name) and not _code(name, "info")), None)


def require_podman(*images: str) -> None:
    """Skip a test, in CI fail it, if podman does not answer or lacks an image."""
    if shutil.which("podman") is None or _code("podman", "info"):
        not_here("podman does not answer; install it, and see docs/images.md")
    for image in images:
        require_image("podman", image)


def require_image(engine: str, image: str) -> None:
    """Skip a test, in CI fail it, if an engine lacks an image, or has one that was made from other code."""
    if _code(engine, "image", "inspect", image):
        not_here(f"{engine} has no image {image}; run: make test-containers")
    if image != BASE and _code_of_image(engine, image) != _own_code():
        not_here(f"image {image} has other code than this tree; run: make test-containers")


@functools.cache
def _code_of_image(engine: str, image: str) -> list[str]:
    words = ("run", "--rm", "--pull", "never", "--network", "none", "--entrypoint")
    command = (engine, *words, "/opt/cab/bin/python", image, "-I", "-c", _CODE)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


@functools.cache
def _own_code() -> list[str]:
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(write_own_wheel(Path(folder))) as wheel,
    ):
        names = [name for name in wheel.namelist() if name.startswith("cab/")]
        return sorted(f"{name} {hashlib.sha256(wheel.read(name)).hexdigest()}" for name in names)


def podman(*words: str, timeout_s: float = 300) -> str:
    """Run a command of podman that must succeed, and return what it printed."""
    done = subprocess.run(
        ("podman", *words), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"podman {words}: {done.stdout}{done.stderr}"
    return done.stdout


def _code(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode

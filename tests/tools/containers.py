"""Real containers in tests: whether they can be run here, and one command of an engine."""

import os
import shutil
import subprocess

import pytest

BASE = os.environ.get("BASE", "localhost/cab-base:bookworm")
"""Image that test images are built on, as in the Makefile."""


def not_here(reason: str) -> None:
    """Skip a test that needs containers; fail in CI, where they must be there."""
    if os.environ.get("CI"):
        pytest.fail(f"this test must run in CI: {reason}")
    pytest.skip(reason)


def require_podman(*images: str) -> None:
    """Skip a test, in CI fail it, if podman does not answer or lacks an image."""
    if shutil.which("podman") is None or _code("podman", "info"):
        not_here("podman does not answer; install it, and see docs/images.md")
    for image in images:
        if _code("podman", "image", "exists", image):
            not_here(f"podman has no image {image}; run: make test-containers")


def podman(*words: str, timeout_s: float = 300) -> str:
    """Run a command of podman that must succeed, and return what it printed."""
    done = subprocess.run(
        ("podman", *words), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"podman {words}: {done.stdout}{done.stderr}"
    return done.stdout


def _code(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode

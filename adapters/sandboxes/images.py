"""Names of container images: parsed, and written with a single `sha256:`."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from cab.adapters.errors import AdapterError

# Published commands repeat the algorithm's name; an image pasted from there is accepted.
_NAME = re.compile(
    r"(?P<repository>(?:[\w.-]+(?::\d+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?:sha256:)+(?P<hex>[0-9a-f]{64}))?",
    re.ASCII,
)


CHECKS = "checks"
"""What `cab images build` is given for the image in which checks run."""
LOCAL = "localhost/"
"""First part of the names of images that `cab images build` makes."""


class Image(NamedTuple):
    """An image as it is asked for."""

    repository: str
    """Such as `codingagentbench/aider`."""
    tag: str | None
    """Such as `v0.86.0`."""
    digest: str | None
    """`sha256:` and 64 hex digits."""

    @property
    def name(self) -> str:
        """Repository and tag."""
        return self.repository if self.tag is None else f"{self.repository}:{self.tag}"

    @property
    def is_local(self) -> bool:
        """Whether it was built on a machine, and no registry has it."""
        return self.repository.startswith(LOCAL)

    @property
    def reference(self) -> str:
        """What an engine is given."""
        return self.name if self.digest is None else f"{self.name}@{self.digest}"


def parse_image(text: str) -> Image:
    """Return an image by its name.

    Raises:
        AdapterError: It is not the name of an image.

    >>> parse_image("codingagentbench/aider:v0.86.0").repository
    'codingagentbench/aider'
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise AdapterError(
            f"{text!r} is not the name of an image; give NAME, NAME:TAG or NAME:TAG@sha256:DIGEST"
        )
    digest = match["hex"] and f"sha256:{match['hex']}"
    return Image(match["repository"], match["tag"], digest)


def published_image(text: str, version: str) -> Image:
    """Return the image of an agent; one that is named without tag and digest is of its version."""
    image = parse_image(text)
    return image if image.tag or image.digest else image._replace(tag=version)


def built_image(tui: str, version: str) -> Image:
    """Return the image that `cab images build` makes of an agent, or of `checks`."""
    name = "cab-checks" if tui == CHECKS else f"cab-agent-{tui}"
    return Image(f"{LOCAL}{name}", version, None)


def digest_of(image: Image, repo_digests: Sequence[str]) -> str | None:
    """Return the digest of an image that an engine has; None if it came from no registry.

    Args:
        image: As it was asked for.
        repo_digests: What the engine says, each `repository@sha256:...`.
    """
    if image.digest is not None:
        return image.digest
    known = [parse_image(each) for each in repo_digests]
    # Engines write the registry that a short name stands for before it.
    ours = [each for each in known if f"/{each.repository}".endswith(f"/{image.repository}")]
    found = {each.digest for each in ours or known}
    return found.pop() if len(found) == 1 else None
